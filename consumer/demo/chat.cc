// consumer/demo/chat.cc -- see chat.h.
#include "consumer/demo/chat.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "consumer/demo/json.h"
#include "consumer/demo/query.h"

namespace sluice::demo {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kGroup = "demo.chat";
constexpr uint32_t kProcesses = 64;         // demo processes that can share the chat
constexpr size_t kNameBytes = 40;           // of a member; longer ones are cut
constexpr size_t kTextBytes = 4000;         // of what is said; longer is cut
constexpr size_t kNamesShown = 200;         // in "who is here"; the count is of all
constexpr size_t kMembersPerMessage = 256;  // between processes
constexpr auto kAnswerWait = 300ms;         // for the others' answers at our start
constexpr auto kRoomWait = 50ms;            // when all our blocks, or a worker's inbox, are full
constexpr auto kAddAgain = 1h;              // well within --group-expiry, by default a day

// Cut at a character.
std::string_view cut(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

std::string name_in(const Message& message) {
  const auto name = query_value(message.fields(), "name");
  return name.empty() ? "guest " + std::to_string(message.address().slot)
                      : std::string(cut(name, kNameBytes));
}

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::string Chat::channel_of(uint32_t number) { return "demo.chat." + std::to_string(number); }

void Chat::start() {
  size_t asked = 0;
  for (uint32_t number = 1; number <= kProcesses; ++number) {
    if (number == consumer_.number() || !is_alive(number)) continue;
    asked += consumer_.try_send(channel_of(number), {{"hello", consumer_.number()}}).ok() ? 1 : 0;
  }
  consumer_.flush();
  const auto until = std::chrono::steady_clock::now() + kAnswerWait;
  while (answers_ < asked) {
    const auto left = until - std::chrono::steady_clock::now();
    const auto message = consumer_.receive(left);
    if (!message.ok()) return;
    from_process(*message);
  }
}

void Chat::connected(const Message& message) {
  const Member& member = take(message);
  std::string text;
  Json(text)
      .begin_object()
      .key("type")
      .text("welcome")
      .key("name")
      .text(member.name)
      .key("by")
      .integer(consumer_.number())
      .key("id")
      .text(ReplyChannelName::websocket_send(message.address()).view())
      .end_object();
  static_cast<void>(consumer_.send(message, {{"content", text}}, kRoomWait));
}

void Chat::said(const Message& message) {
  const Member& member = take(message);
  const auto content = message.fields().find("content");
  const auto said = cut(content ? content->text().value_or("") : "", kTextBytes);
  if (said.empty()) return;
  std::string text;
  Json(text)
      .begin_object()
      .key("type")
      .text("message")
      .key("from")
      .text(member.name)
      .key("id")
      .text(ReplyChannelName::websocket_send(message.address()).view())
      .key("text")
      .text(said)
      .key("at")
      .integer(now_ms())
      .key("by")
      .integer(consumer_.number())
      .end_object();
  tell_everybody(text);
}

void Chat::disconnected(const Message& message) {
  if (!remove(message.address())) return;
  const ReplyChannelName channel = ReplyChannelName::websocket_send(message.address());
  const std::array left{Value(channel.view())};
  tell_processes({{"left", std::span<const Value>(left)}});
}

void Chat::from_process(const Message& message) {
  const MessageView& fields = message.fields();
  if (const auto members = fields.find("members")) {
    for (const ValueView entry : *members) {
      std::array<ValueView, 2> parts;
      size_t count = 0;
      for (const ValueView part : entry) {
        if (count < parts.size()) parts[count++] = part;
      }
      const auto address = parse_reply_channel(parts[0].text().value_or(""));
      if (!address) continue;
      members_[*address].name = cut(parts[1].text().value_or(""), kNameBytes);
      changed_ = true;
    }
    if (fields.boolean("answer")) ++answers_;
  }
  if (const auto left = fields.find("left")) {
    for (const ValueView channel : *left) {
      if (const auto address = parse_reply_channel(channel.text().value_or(""))) remove(*address);
    }
  }
  if (fields.has("hello")) tell_members_to(static_cast<uint32_t>(fields.integer("hello")));
}

void Chat::tell_who_is_here() {
  changed_ = false;
  std::erase_if(members_, [this](const auto& entry) { return !consumer_.is_open(entry.first); });
  for (uint32_t number = 1; number < std::min(consumer_.number(), kProcesses + 1); ++number) {
    if (is_alive(number)) return;  // T3
  }
  std::vector<std::string_view> names;
  for (const auto& [address, member] : members_) names.push_back(member.name);
  std::sort(names.begin(), names.end());
  std::string text;
  Json json(text);
  json.begin_object().key("type").text("here").key("names").begin_array();
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) json.text(names[i]);
  json.end_array().key("count").integer(static_cast<int64_t>(names.size())).end_object();
  tell_everybody(text);
}

// The member whose message it is; the group and the other processes are told when it is new to us.
const Chat::Member& Chat::take(const Message& message) {
  const auto [entry, is_new] = members_.try_emplace(message.address());
  Member& member = entry->second;
  const auto now = std::chrono::steady_clock::now();
  if (member.added == std::chrono::steady_clock::time_point() || now - member.added > kAddAgain) {
    member.added = now;
    static_cast<void>(consumer_.group_add(kGroup, message, kRoomWait));
  }
  if (!is_new) return member;
  member.name = name_in(message);
  changed_ = true;
  const ReplyChannelName channel = ReplyChannelName::websocket_send(message.address());
  const std::array entry_told{Value(channel.view()), Value(member.name)};
  const std::array entries{Value(std::span<const Value>(entry_told))};
  tell_processes({{"members", std::span<const Value>(entries)}});
  return member;
}

bool Chat::remove(const ReplyAddress& address) {
  const bool known = members_.erase(address) != 0;
  changed_ = changed_ || known;
  return known;
}

void Chat::tell_processes(Fields fields) {
  for (uint32_t number = 1; number <= kProcesses; ++number) {
    if (number == consumer_.number() || !is_alive(number)) continue;
    // One that does not read its channel for a thousand messages misses some: T1, T2 mend it.
    static_cast<void>(consumer_.try_send(channel_of(number), fields));
  }
}

void Chat::tell_members_to(uint32_t number) {
  auto next = members_.begin();
  do {
    const auto write = [&](Encoder& encoder) {
      auto member = next;
      encoder.key("members").begin_list();
      for (size_t i = 0; i < kMembersPerMessage && member != members_.end(); ++i, ++member) {
        encoder.begin_list()
            .text(ReplyChannelName::websocket_send(member->first).view())
            .text(member->second.name)
            .end_list();
      }
      encoder.end_list().key("answer").boolean(member == members_.end());
    };
    static_cast<void>(consumer_.try_send(channel_of(number), write));
    for (size_t i = 0; i < kMembersPerMessage && next != members_.end(); ++i) ++next;
  } while (next != members_.end());
}

bool Chat::is_alive(uint32_t number) { return consumer_.has_reader(channel_of(number)); }

void Chat::tell_everybody(std::string_view text) {
  static_cast<void>(consumer_.group_send(kGroup, {{"content", text}}, kRoomWait));
}

}  // namespace sluice::demo
