// tests/unit/consumer/channels_test.cc -- channels of consumers' own, from one consumer to another.
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "consumer/consumer.h"
#include "tests/unit/consumer/fake_gateway.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using namespace std::chrono_literals;
using namespace sluice;
using sluice::tests::FakeGateway;

namespace {

// Two consumers of one gateway.
struct Two {
  FakeGateway gateway;
  Consumer one = attach();
  Consumer two = attach();

  Consumer attach() {
    auto consumer = Consumer::attach(gateway.path(), {});
    REQUIRE(consumer.ok());
    return std::move(*consumer);
  }
  // Sends so many bytes of content and gives the message as it was received.
  Message carry(size_t bytes) {
    const std::vector<std::byte> content(bytes, std::byte{0x5a});
    REQUIRE(one.try_send("sizes", {{"content", Bytes(content)}}).ok());
    auto message = two.receive(10s);
    REQUIRE(message.ok());
    const Bytes got = message->fields().bytes("content");
    REQUIRE(got.size() == bytes);
    REQUIRE(std::equal(got.begin(), got.end(), content.begin()));
    return std::move(*message);
  }
};

// The line of /proc/self/maps in which a byte lies.
std::string mapping_of(const void* byte) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t from = 0;
    uintptr_t to = 0;
    char dash = 0;
    std::istringstream(line) >> std::hex >> from >> dash >> to;
    const auto at = reinterpret_cast<uintptr_t>(byte);
    if (at >= from && at < to) return line;
  }
  return "";
}

bool lies_in_an_arena_we_only_read(const Message& message) {
  const std::string line = mapping_of(message.fields().encoded().data());
  return line.find("arena") != std::string::npos && line.find(" r--s ") != std::string::npos;
}

}  // namespace

TEST_CASE("messages of no content, of one block and of many arrive as they were sent") {
  Two c;
  REQUIRE(c.two.read("sizes").ok());

  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{511}, size_t{512}, size_t{65'536},
                             limits::kWholeMessageBytes - 1, limits::kWholeMessageBytes,
                             limits::kWholeMessageBytes + 1, 3 * limits::kWholeMessageBytes,
                             limits::kMessageBytes}) {
    CAPTURE(bytes);
    static_cast<void>(c.carry(bytes));
  }
}

TEST_CASE("a message within a block is decoded where its sender wrote it, without a copy") {
  Two c;
  REQUIRE(c.two.read("sizes").ok());

  for (const size_t bytes : {0, 1, 400, 4000, 60'000, 1'000'000}) {
    CAPTURE(bytes);
    CHECK(lies_in_an_arena_we_only_read(c.carry(bytes)));
  }
  CHECK_FALSE(lies_in_an_arena_we_only_read(c.carry(limits::kWholeMessageBytes)));  // a chain
}

TEST_CASE("the largest message there can be is carried, and one byte more is refused at its sender") {
  Two c;
  REQUIRE(c.two.read("sizes").ok());
  // A map of one pair: 3 bytes, the key 8, the content's tag 5.
  const size_t largest = limits::kMessageBytes + limits::kEncodingSlackBytes - 3 - 8 - 5;
  CHECK(c.carry(largest).fields().encoded().size() ==
        limits::kMessageBytes + limits::kEncodingSlackBytes);

  const std::vector<std::byte> content(largest + 1);
  CHECK(c.one.try_send("sizes", {{"content", Bytes(content)}}).error() == Error::kMessageTooLarge);
  CHECK(c.two.try_receive().error() == Error::kTimedOut);
  static_cast<void>(c.carry(1));
}

TEST_CASE("limits set by one consumer hold for what another sends") {
  Two c;
  REQUIRE(c.one.set_limits("small.*", {2, 1min}).ok());

  for (int i = 0; i < 2; ++i) REQUIRE(c.two.try_send("small.a", {{"n", i}}).ok());
  CHECK(c.two.try_send("small.a", {{"n", 2}}).error() == Error::kChannelFull);
  CHECK(c.one.set_limits("no glob", {2, 1min}).error() == Error::kChannelNameInvalid);
  c.one.detach();
  CHECK(c.one.set_limits("a", {2, 1min}).error() == Error::kDetached);
}

TEST_CASE("new channels are never the same, and read by their maker alone") {
  Two c;
  std::set<std::string> names;
  for (int i = 0; i < 5; ++i) names.insert(c.one.new_channel("reply?").value());
  CHECK(names.size() == 5);
  for (const std::string& name : names) {
    CAPTURE(name);
    CHECK(name.starts_with("reply?"));
    CHECK(name.size() == 32);
    CHECK(c.two.read(name).error() == Error::kChannelHasReader);
    REQUIRE(c.two.try_send(name, {{"to", name}}).ok());
    const auto message = c.one.receive(10s);
    REQUIRE(message.ok());
    CHECK(message->channel() == name);
    CHECK(message->kind() == MessageKind::kOther);
    CHECK(message->fields().text("to") == name);
  }
  CHECK(c.one.new_channel("").error() == Error::kChannelNameInvalid);
  CHECK(c.one.new_channel("reply").error() == Error::kChannelNameInvalid);
  CHECK(c.one.new_channel(std::string(174, 'a') + "?").error() == Error::kChannelNameInvalid);
  CHECK(c.one.new_channel(std::string(173, 'a') + "?").ok());
}

TEST_CASE("a channel with ! is its maker's inbox: found by its name, gone with its maker") {
  Two c;
  const std::string name = c.one.new_channel("inbox!").value();
  CHECK(c.two.has_reader(name));
  REQUIRE(c.two.try_send(name, {{"n", 1}}).ok());

  {
    const auto message = c.one.receive(10s);
    REQUIRE(message.ok());
    CHECK(message->channel() == name);
    CHECK(message->fields().integer("n") == 1);
  }
  CHECK(c.two.read(name).error() == Error::kChannelNameInvalid);
  CHECK(c.two.try_send("inbox!nobody", {}).error() == Error::kReaderGone);

  c.one.detach();
  CHECK(c.two.try_send(name, {}).error() == Error::kReaderGone);
  CHECK_FALSE(c.two.has_reader(name));
}

TEST_CASE("more new channels than there is room for serve one after the other, once they are idle") {
  Two c;
  REQUIRE(c.one.set_limits("reply?*", {0, 10ms}).ok());
  std::vector<Message> held;  // their names stay what they are
  for (int i = 0; i < 40; ++i) {
    CAPTURE(i);
    Result<std::string> name = c.one.new_channel("reply?");
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!name.ok() && std::chrono::steady_clock::now() < deadline) {
      REQUIRE(name.error() == Error::kChannelTableFull);
      std::this_thread::yield();
      name = c.one.new_channel("reply?");
    }
    REQUIRE(name.ok());
    REQUIRE(c.two.send(*name, {{"n", i}}).ok());
    auto message = c.one.receive(10s);
    if (!message.ok()) continue;  // expired on a busy machine
    CHECK(message->channel() == *name);
    held.push_back(std::move(*message));
    c.one.stop_reading();
  }
  std::set<std::string> names;
  for (const Message& message : held) names.insert(std::string(message.channel()));
  CHECK(names.size() == held.size());
}

TEST_CASE("a busy channel does not keep a quiet one waiting") {
  Two c;
  for (const char* name : {"busy", "quiet", "busy.too"}) REQUIRE(c.two.read(name).ok());
  for (int i = 0; i < 30; ++i) {
    REQUIRE(c.one.try_send("busy", {{"n", i}}).ok());
    REQUIRE(c.one.try_send("busy.too", {{"n", i}}).ok());
  }
  REQUIRE(c.one.try_send("quiet", {}).ok());

  int until_quiet = 0;
  int busy = 0;
  for (int i = 1; i <= 61; ++i) {
    const auto message = c.two.try_receive();
    REQUIRE(message.ok());
    if (message->channel() == "quiet") until_quiet = i;
    if (i <= 21) busy += message->channel() == "busy" ? 1 : 0;
  }

  CHECK(until_quiet >= 1);
  CHECK(until_quiet <= 3);
  CHECK(busy == 10);  // of the other two each gets every other turn
}

TEST_CASE("statistics and flushing work by name and for all channels together") {
  Two c;
  for (int i = 0; i < 3; ++i) REQUIRE(c.one.try_send("a", {{"n", i}}).ok());
  for (int i = 0; i < 4; ++i) REQUIRE(c.one.try_send("b", {{"n", i}}).ok());

  CHECK(c.two.statistics("a").value().messages_pending == 3);
  CHECK(c.two.statistics().value().messages_pending == 7);
  CHECK(c.two.statistics().value().messages_count == 7);
  CHECK(c.two.statistics("none").value().messages_count == 0);
  CHECK(c.two.statistics("no name").error() == Error::kChannelNameInvalid);
  CHECK(c.two.flush_channel("a").value() == 3);
  CHECK(c.two.flush_channel("none").value() == 0);
  CHECK(c.two.flush_all().value() == 4);
  // In the worker's inbox: that no group has members any more.
  CHECK(c.two.statistics().value().messages_pending == 1);
  CHECK(c.two.statistics().value().drops.flushed == 7);
}
