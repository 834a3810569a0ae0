// tests/conformance/driver.cc -- the C++ API, driven by the conformance suite: one process of a case.
//
// Reads commands from stdin and answers each on stdout; README.md has the protocol. Ends with stdin.
// A driver decides nothing: it makes the one call a command names and says what came of it.
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consumer/consumer.h"

namespace {

using namespace sluice;
using std::chrono::nanoseconds;

// ---- values -------------------------------------------------------------------------------------

void copy(const ValueView& value, Encoder& to) {
  switch (value.type()) {
    case Type::kNull:
      to.null();
      return;
    case Type::kBoolean:
      to.boolean(*value.boolean());
      return;
    case Type::kInteger:
      to.integer(*value.integer());
      return;
    case Type::kText:
      to.text(*value.text());
      return;
    case Type::kBytes:
      to.bytes(*value.bytes());
      return;
    case Type::kList:
      to.begin_list();
      for (const ValueView element : value) copy(element, to);
      to.end_list();
      return;
    case Type::kMap:
      to.begin_map();
      for (const ValueView element : value) copy(element, to);
      to.end_map();
      return;
    case Type::kMalformed:
      return;
  }
}

nanoseconds milliseconds_in(const MessageView& command, std::string_view key) {
  return std::chrono::milliseconds(command.integer(key));
}

// ---- commands -----------------------------------------------------------------------------------

// A command's answer is a map: `ok: true` and what the call gave, or `error` and its words.
void answer(Encoder& to, const Result<void>& result) {
  if (result.ok()) {
    to.key("ok").boolean(true);
  } else {
    to.key("error").text(describe(result.error()));
  }
}

void answer(Encoder& to, std::string_view channel, const ValueView& fields) {
  to.key("ok").boolean(true).key("channel").text(channel).key("fields");
  copy(fields, to);
}

struct Driver {
  std::optional<Consumer> consumer;
  std::optional<Message> kept;
  // Where the command lies that is being carried out: what a call was given, it was given in here.
  std::vector<std::byte> command;
};

// send: channel, fields; wait: milliseconds, 0 try_send. change: afterwards nothing of what was
// passed is left.
void send(Driver& driver, const MessageView& command, Encoder& to) {
  const std::optional<ValueView> fields = command.find("fields");
  const std::string channel(command.text("channel"));
  const auto write = [&](Encoder& encoder) {
    if (!fields) return;
    for (const ValueView element : *fields) copy(element, encoder);
  };
  const size_t size = fields ? fields->encoded_size() + 16 : 0;
  const bool change = command.boolean("change");
  const nanoseconds wait = milliseconds_in(command, "wait");
  const Result<void> sent = wait.count() == 0 ? driver.consumer->try_send(channel, write, size)
                                              : driver.consumer->send(channel, write, size, wait);
  driver.consumer->flush();
  if (change) std::fill(driver.command.begin(), driver.command.end(), std::byte{0xc0});
  answer(to, sent);
}

// receive: wait: milliseconds. keep: the message stays held until the next one that is kept.
void receive(Driver& driver, const MessageView& command, Encoder& to) {
  Result<Message> message = driver.consumer->receive(milliseconds_in(command, "wait"));
  if (!message.ok()) {
    answer(to, message.error());
    return;
  }
  answer(to, message->channel(), message->fields().map());
  if (command.boolean("keep")) driver.kept = std::move(*message);
}

// kept: the message held, as it is now.
void kept(Driver& driver, const MessageView&, Encoder& to) {
  if (!driver.kept) {
    answer(to, Error::kTimedOut);
    return;
  }
  answer(to, driver.kept->channel(), driver.kept->fields().map());
}

// attach: control: the path of the gateway's control socket.
void attach(Driver& driver, const MessageView& command, Encoder& to) {
  Result<Consumer> consumer = Consumer::attach(command.text("control"), {});
  if (!consumer.ok()) {
    answer(to, consumer.error());
    return;
  }
  driver.consumer = std::move(*consumer);
  answer(to, Result<void>{});
}

void read(Driver& driver, const MessageView& command, Encoder& to) {
  answer(to, driver.consumer->read(command.text("channel")));
}

void stop_reading(Driver& driver, const MessageView&, Encoder& to) {
  driver.consumer->stop_reading();
  answer(to, Result<void>{});
}

// set_limits: glob; capacity, expiry: milliseconds; 0 the default.
void set_limits(Driver& driver, const MessageView& command, Encoder& to) {
  const ChannelLimits limits{static_cast<uint32_t>(command.integer("capacity")),
                             std::chrono::milliseconds(command.integer("expiry"))};
  answer(to, driver.consumer->set_limits(command.text("glob"), limits));
}

// new_channel: prefix. Gives its name.
void new_channel(Driver& driver, const MessageView& command, Encoder& to) {
  const Result<std::string> name = driver.consumer->new_channel(command.text("prefix"));
  if (!name.ok()) {
    answer(to, name.error());
    return;
  }
  to.key("ok").boolean(true).key("value").text(*name);
}

// flush: channel; without one, all of them. Gives how many messages that were.
void flush(Driver& driver, const MessageView& command, Encoder& to) {
  const Result<uint64_t> flushed = command.has("channel")
                                       ? driver.consumer->flush_channel(command.text("channel"))
                                       : driver.consumer->flush_all();
  if (!flushed.ok()) {
    answer(to, flushed.error());
    return;
  }
  to.key("ok").boolean(true).key("value").integer(static_cast<int64_t>(*flushed));
}

// statistics: channel; without one, all together. Gives a map.
void statistics(Driver& driver, const MessageView& command, Encoder& to) {
  const Result<ChannelStatistics> got = command.has("channel")
                                            ? driver.consumer->statistics(command.text("channel"))
                                            : driver.consumer->statistics();
  if (!got.ok()) {
    answer(to, got.error());
    return;
  }
  to.key("ok").boolean(true).key("value").begin_map();
  const auto put = [&to](std::string_view name, uint64_t value) {
    to.key(name).integer(static_cast<int64_t>(value));
  };
  put("messages_count", got->messages_count);
  put("messages_count_per_second", got->messages_count_per_second);
  put("messages_pending", got->messages_pending);
  put("messages_max_age", static_cast<uint64_t>(got->messages_max_age.count()));
  put("channel_full_count", got->channel_full_count);
  put("channel_full_count_per_second", got->channel_full_count_per_second);
  put("expired", got->drops.expired);
  put("flushed", got->drops.flushed);
  put("on_purpose", got->drops.on_purpose);
  to.end_map();
}

// group_add, group_discard: group, channel.
void group_add(Driver& driver, const MessageView& command, Encoder& to) {
  answer(to, driver.consumer->group_add(command.text("group"), command.text("channel")));
}

void group_discard(Driver& driver, const MessageView& command, Encoder& to) {
  answer(to, driver.consumer->group_discard(command.text("group"), command.text("channel")));
}

// group_send: group, fields. Gives how many channels got it, and how many were full.
void group_send(Driver& driver, const MessageView& command, Encoder& to) {
  const std::optional<ValueView> fields = command.find("fields");
  const auto write = [&](Encoder& encoder) {
    if (!fields) return;
    for (const ValueView element : *fields) copy(element, encoder);
  };
  const Result<GroupSent> sent = driver.consumer->group_send(command.text("group"), write);
  driver.consumer->flush();
  if (!sent.ok()) {
    answer(to, sent.error());
    return;
  }
  to.key("ok").boolean(true).key("value").begin_map();
  to.key("channels").integer(sent->channels).key("channels_full").integer(sent->channels_full);
  to.end_map();
}

// group_members: group. Gives a list of names.
void group_members(Driver& driver, const MessageView& command, Encoder& to) {
  const Result<std::vector<std::string>> names = driver.consumer->group_members(command.text("group"));
  if (!names.ok()) {
    answer(to, names.error());
    return;
  }
  to.key("ok").boolean(true).key("value").begin_list();
  for (const std::string& name : *names) to.text(name);
  to.end_list();
}

// connections: wait: milliseconds. Gives a list of maps.
void connections(Driver& driver, const MessageView& command, Encoder& to) {
  const Result<std::vector<LivingConnection>> living =
      driver.consumer->connections(milliseconds_in(command, "wait"));
  if (!living.ok()) {
    answer(to, living.error());
    return;
  }
  to.key("ok").boolean(true).key("value").begin_list();
  for (const LivingConnection& each : *living) {
    to.begin_map().key("reply_channel").text(each.reply_channel).key("path").text(each.path).end_map();
  }
  to.end_list();
}

struct Command {
  std::string_view name;
  void (*run)(Driver& driver, const MessageView& command, Encoder& to);
};

constexpr Command kCommands[] = {
    {"attach", attach}, {"read", read},       {"stop_reading", stop_reading},
    {"send", send},     {"receive", receive}, {"kept", kept},
    {"set_limits", set_limits},   {"new_channel", new_channel},
    {"flush", flush},             {"statistics", statistics},
    {"group_add", group_add},     {"group_discard", group_discard},
    {"group_send", group_send},   {"group_members", group_members},
    {"connections", connections},
};

// ---- frames: a length of four bytes, the highest first, and so many bytes of MessagePack ----------

bool read_frame(std::vector<std::byte>& frame) {
  std::array<unsigned char, 4> length{};
  if (std::fread(length.data(), 1, length.size(), stdin) != length.size()) return false;
  frame.resize(size_t{length[0]} << 24 | size_t{length[1]} << 16 | size_t{length[2]} << 8 | length[3]);
  return std::fread(frame.data(), 1, frame.size(), stdin) == frame.size();
}

void write_frame(Bytes frame) {
  const size_t size = frame.size();
  const std::array<unsigned char, 4> length = {
      static_cast<unsigned char>(size >> 24), static_cast<unsigned char>(size >> 16),
      static_cast<unsigned char>(size >> 8), static_cast<unsigned char>(size)};
  std::fwrite(length.data(), 1, length.size(), stdout);
  std::fwrite(frame.data(), 1, frame.size(), stdout);
  std::fflush(stdout);
}

int run() {
  Driver driver;
  std::vector<std::byte> space(limits::kMessageBytes + 4 * limits::kEncodingSlackBytes);
  while (read_frame(driver.command)) {
    const Result<MessageView> command = MessageView::parse(driver.command);
    if (!command.ok()) return 1;
    Encoder to(space);
    to.begin_map();
    const std::string name(command->text("do"));
    bool known = false;
    for (const Command& one : kCommands) {
      if (one.name != name || (!driver.consumer && one.run != attach)) continue;
      known = true;
      one.run(driver, *command, to);
    }
    if (!known) to.key("error").text("no such command");
    to.end_map();
    const Result<Bytes> bytes = to.finish();
    if (!bytes.ok()) return 1;
    write_frame(*bytes);
  }
  return 0;
}

}  // namespace

int main() { return run(); }
