// tests/unit/shm/channel_table_test.cc -- one name, one channel, for everybody.
#include "shm/channel_table.h"

#include "tests/support/shm_world.h"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <set>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::small_geometry;

struct Bench {
  Segment segment = Segment::create(small_geometry());
  ChannelTable one{segment, 2};
  ChannelTable two{segment, 3};
};

TEST_CASE("a name is the same channel for everybody, and found once it was made") {
  Bench b;
  CHECK_FALSE(b.two.find("http.request"));

  const uint32_t channel = b.one.open("http.request").value();

  CHECK(b.two.open("http.request").value() == channel);
  CHECK(b.two.find("http.request") == channel);
  CHECK(b.two.name_of(channel) == "http.request");
  CHECK(b.one.open("websocket.connect").value() != channel);
  CHECK_FALSE(b.one.find("http.requesT"));
  CHECK_FALSE(b.one.find("http.reques"));
}

TEST_CASE("a new channel has its capacity, within the cells there are, and its expiry") {
  Bench b;
  const ChannelRecord& record = *b.segment.channel(b.one.open("a").value());

  CHECK(record.capacity.load() == b.segment.geometry().channel_cells);
  CHECK(record.expiry_ms.load() == 60'000);
  CHECK((record.truth.load() & 0xffff) == static_cast<uint64_t>(ChannelState::kKept));
}

TEST_CASE("names that are none, or that are addresses, are refused") {
  Bench b;
  for (const std::string& name :
       {std::string(), std::string("http.response.A!c4"), std::string("a b"), std::string("\xc3\xa4"),
        std::string("a\0b", 3), std::string(201, 'a')}) {
    CAPTURE(name);
    CHECK(b.one.open(name).error() == Error::kChannelNameInvalid);
  }
  CHECK(b.one.open(std::string(100, 'a')).ok());
  CHECK(b.one.open("http.request.body?x7").ok());
}

TEST_CASE("a full table refuses new names and still finds the old") {
  Bench b;
  const uint32_t count = b.segment.geometry().channels;
  for (uint32_t i = 0; i < count; ++i) REQUIRE(b.one.open("c" + std::to_string(i)).ok());

  CHECK(b.two.open("one.more").error() == Error::kChannelTableFull);
  for (uint32_t i = 0; i < count; ++i) {
    CHECK(b.two.name_of(b.two.open("c" + std::to_string(i)).value()) == "c" + std::to_string(i));
  }
  CHECK(b.one.name_of(count).empty());
}

TEST_CASE("processes that open the same names at once agree on every one") {
  Bench b;
  constexpr int kProcesses = 4;
  const uint32_t count = b.segment.geometry().channels;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ChannelTable mine(b.segment, static_cast<ProcessIndex>(2 + p));
      for (uint32_t i = 0; i < count; ++i) {
        const std::string name = "c" + std::to_string(p % 2 == 0 ? i : count - 1 - i);
        const auto channel = mine.open(name);
        // A name raced for may find the table full for a moment: its rivals hold records they give back.
        if (!channel.ok()) continue;
        if (mine.name_of(*channel) != name) _exit(1);
      }
      _exit(0);
    }
  }
  for (int p = 0; p < kProcesses; ++p) {
    int status = 0;
    REQUIRE(wait(&status) > 0);
    CHECK(status == 0);
  }
  std::set<uint32_t> channels;
  for (uint32_t i = 0; i < count; ++i) channels.insert(b.one.open("c" + std::to_string(i)).value());
  CHECK(channels.size() == count);
}

TEST_CASE("a directory scribbled on loses names, and leads to no wild read") {
  Bench b;
  static_cast<void>(b.one.open("a").value());
  for (uint32_t i = 0; i < b.segment.directory_size(); ++i) {
    b.segment.directory()[i] = b.segment.directory()[i].load() | 0x0fffffff;
  }

  CHECK_FALSE(b.one.find("a"));
  const uint32_t opened = b.one.open("b").value();  // what leads nowhere is written over
  CHECK(b.one.find("b") == opened);
  b.segment.channel(0)->name_length = 0xffffffff;
  CHECK(b.one.name_of(0).size() <= kMaxNameBytes);
}

}  // namespace
