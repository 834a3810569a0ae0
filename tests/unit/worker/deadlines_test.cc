// tests/unit/worker/deadlines_test.cc -- the wheel: never early, late by a tick, movable (T1, T2).
#include "worker/deadlines.h"

#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "protocol/limits.h"

namespace sluice {
namespace {

constexpr uint64_t kStart = 1'000'000;

struct Alarm final : Timed {
  std::vector<uint64_t> fired;
  std::function<void(uint64_t)> then;
  void on_deadline(uint64_t now_ms) noexcept override {
    fired.push_back(now_ms);
    if (then) then(now_ms);
  }
};

// Runs the wheel as the loop does: whenever it asks to be, until `end`.
void run_until(Deadlines& deadlines, uint64_t end) {
  for (uint64_t next = deadlines.next_run_ms(); next <= end; next = deadlines.next_run_ms()) {
    deadlines.run(next);
  }
  deadlines.run(end);
}

TEST_CASE("a deadline comes once, never early, and at most a tick late") {
  for (const uint64_t delay : {0, 1, 63, 64, 65, 1000, 59'999, 75'000, 3'600'000}) {
    CAPTURE(delay);
    Deadlines deadlines(kStart);
    Alarm alarm;
    deadlines.set(alarm, kStart + delay);

    run_until(deadlines, kStart + delay + 1000);

    REQUIRE(alarm.fired.size() == 1);
    CHECK(alarm.fired[0] >= kStart + delay);
    CHECK(alarm.fired[0] <= kStart + delay + Deadlines::kTickMs);
    CHECK(deadlines.next_run_ms() == kNever);
  }
}

TEST_CASE("a deadline moved later does not come at its old time") {
  Deadlines deadlines(kStart);
  Alarm alarm;
  deadlines.set(alarm, kStart + 100);
  deadlines.set(alarm, kStart + 5000);

  run_until(deadlines, kStart + 4999);
  CHECK(alarm.fired.empty());
  run_until(deadlines, kStart + 5100);
  CHECK(alarm.fired.size() == 1);
}

TEST_CASE("a deadline moved earlier comes at its new time") {
  Deadlines deadlines(kStart);
  Alarm alarm;
  deadlines.set(alarm, kStart + 60'000);
  deadlines.set(alarm, kStart + 100);

  run_until(deadlines, kStart + 200);
  CHECK(alarm.fired.size() == 1);
}

TEST_CASE("a cleared deadline does not come") {
  Deadlines deadlines(kStart);
  Alarm kept;
  Alarm cleared;
  deadlines.set(kept, kStart + 100);
  deadlines.set(cleared, kStart + 100);
  deadlines.clear(cleared);

  run_until(deadlines, kStart + 1000);

  CHECK(cleared.fired.empty());
  CHECK(kept.fired.size() == 1);
}

TEST_CASE("what a deadline does may set itself again and clear its neighbours") {
  Deadlines deadlines(kStart);
  std::vector<Alarm> alarms(8);
  for (Alarm& alarm : alarms) {
    deadlines.set(alarm, kStart + 100);
    alarm.then = [&](uint64_t now) {
      for (Alarm& other : alarms) {
        if (&other != &alarm) deadlines.clear(other);
      }
      if (alarm.fired.size() < 3) deadlines.set(alarm, now + 100);
    };
  }

  run_until(deadlines, kStart + 2000);

  size_t fired = 0;
  for (const Alarm& alarm : alarms) fired += alarm.fired.size();
  CHECK(fired == 3);
}

TEST_CASE("many that are due at once are acted on in several runs, each once") {
  Deadlines deadlines(kStart);
  std::vector<Alarm> alarms(3 * limits::kDeadlinesPerTurn + 1);
  const auto fired = [&] {
    size_t count = 0;
    for (const Alarm& alarm : alarms) count += alarm.fired.size();
    return count;
  };
  for (Alarm& alarm : alarms) deadlines.set(alarm, kStart + 100);
  const uint64_t due = kStart + 100 + Deadlines::kTickMs;

  for (size_t runs = 1; runs <= 3; ++runs) {
    deadlines.run(due);
    CHECK(fired() == runs * limits::kDeadlinesPerTurn);
    CHECK(deadlines.next_run_ms() <= due);
  }
  deadlines.run(due);

  CHECK(fired() == alarms.size());
  for (const Alarm& alarm : alarms) CHECK(alarm.fired.size() == 1);
  CHECK(deadlines.next_run_ms() == kNever);
}

TEST_CASE("a loop that was away for longer than the wheel's span misses nothing") {
  Deadlines deadlines(kStart);
  std::vector<Alarm> alarms(100);
  for (size_t i = 0; i < alarms.size(); ++i) deadlines.set(alarms[i], kStart + i * 1000);

  deadlines.run(kStart + 10'000'000);

  for (const Alarm& alarm : alarms) CHECK(alarm.fired.size() == 1);
}

}  // namespace
}  // namespace sluice
