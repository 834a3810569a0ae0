// tests/unit/gateway/back_off_test.cc -- how long a process that died stays away.
#include "gateway/back_off.h"

#include <doctest/doctest.h>

namespace {

using sluice::BackOff;
using std::chrono::milliseconds;
namespace limits = sluice::limits;

TEST_CASE("the first restart is immediate") {
  BackOff back_off;

  CHECK(back_off.delay_after(milliseconds(0)) == milliseconds(0));
}

TEST_CASE("short lives in a row double the wait, up to its most") {
  BackOff back_off;
  static_cast<void>(back_off.delay_after(milliseconds(0)));

  CHECK(back_off.delay_after(milliseconds(1)) == milliseconds(100));
  CHECK(back_off.delay_after(milliseconds(1)) == milliseconds(200));
  CHECK(back_off.delay_after(milliseconds(1)) == milliseconds(400));
  for (int i = 0; i < 100; ++i)
    CHECK(back_off.delay_after(milliseconds(1)) <= limits::kRestartDelayMost);
  CHECK(back_off.delay_after(milliseconds(1)) == limits::kRestartDelayMost);
}

TEST_CASE("a process that lived long enough starts over") {
  BackOff back_off;
  for (int i = 0; i < 5; ++i) static_cast<void>(back_off.delay_after(milliseconds(0)));

  CHECK(back_off.delay_after(limits::kRestartShortLife) == milliseconds(0));
  CHECK(back_off.delay_after(milliseconds(0)) == milliseconds(100));
}

TEST_CASE("other rules, other delays") {
  BackOff back_off({std::chrono::seconds(60), std::chrono::seconds(1), std::chrono::seconds(4)});

  CHECK(back_off.delay_after(milliseconds(10)) == milliseconds(0));
  CHECK(back_off.delay_after(milliseconds(10)) == milliseconds(1000));
  CHECK(back_off.delay_after(std::chrono::seconds(59)) == milliseconds(2000));
  for (int i = 0; i < 20; ++i) static_cast<void>(back_off.delay_after(milliseconds(10)));
  CHECK(back_off.delay_after(milliseconds(10)) == milliseconds(4000));
  CHECK(back_off.delay_after(std::chrono::seconds(60)) == milliseconds(0));
}

}  // namespace
