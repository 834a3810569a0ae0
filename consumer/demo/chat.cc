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

constexpr uint32_t kProcesses = 64;         // demo processes that can share the chat
constexpr size_t kNameBytes = 40;           // of a member; longer ones are cut
constexpr size_t kTextBytes = 4000;         // of what is said; longer is cut
constexpr size_t kNamesShown = 200;         // in "who is here"; the count is of all
constexpr size_t kMembersPerMessage = 256;  // between processes
constexpr auto kAnswerWait = 300ms;         // for the others' answers at our start
constexpr auto kRoomWait = 50ms;            // when all our blocks are unread

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
      .end_object();
  static_cast<void>(send(message.address(), text));
}

void Chat::said(const Message& message) {
  const std::string name = take(message).name;
  const auto content = message.fields().find("content");
  const auto said = cut(content ? content->text().value_or("") : "", kTextBytes);
  if (said.empty()) return;
  std::string texts[2];
  for (const bool to_speaker : {false, true}) {
    Json(texts[to_speaker])
        .begin_object()
        .key("type")
        .text("message")
        .key("from")
        .text(name)
        .key("text")
        .text(said)
        .key("at")
        .integer(now_ms())
        .key("by")
        .integer(consumer_.number())
        .key("you")
        .boolean(to_speaker)
        .end_object();
  }
  send_to_all(texts[0], message.address(), texts[1]);
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
      std::array<ValueView, 3> parts;
      size_t count = 0;
      for (const ValueView part : entry) {
        if (count < parts.size()) parts[count++] = part;
      }
      const auto address = parse_reply_channel(parts[0].text().value_or(""));
      if (!address) continue;
      Member& member = members_[*address];
      member.name = cut(parts[1].text().value_or(""), kNameBytes);
      member.taker = static_cast<uint32_t>(parts[2].integer().value_or(0));
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
  std::vector<std::string_view> names;
  for (const auto& [address, member] : members_) names.push_back(member.name);
  std::sort(names.begin(), names.end());
  std::string text;
  Json json(text);
  json.begin_object().key("type").text("here").key("names").begin_array();
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) json.text(names[i]);
  json.end_array().key("count").integer(static_cast<int64_t>(names.size())).end_object();

  // T3. Whether a process lives is asked once for each.
  std::array<bool, kProcesses + 1> alive{};
  bool lowest = true;
  for (uint32_t number = 1; number <= kProcesses; ++number) {
    alive[number] = number == consumer_.number() || is_alive(number);
    if (alive[number] && number < consumer_.number()) lowest = false;
  }
  std::vector<ReplyAddress> gone;
  for (const auto& [address, member] : members_) {
    const bool orphan = member.taker > kProcesses || !alive[member.taker];
    const bool ours = member.taker == consumer_.number() || (orphan && lowest);
    if (ours && !send(address, text)) gone.push_back(address);
  }
  for (const ReplyAddress& address : gone) remove(address);
}

// The member whose message it is, ours from now on; the other processes are told when that is new.
const Chat::Member& Chat::take(const Message& message) {
  Member& member = members_[message.address()];
  if (member.taker == consumer_.number()) return member;
  member.name = name_in(message);
  member.taker = consumer_.number();
  changed_ = true;
  const ReplyChannelName channel = ReplyChannelName::websocket_send(message.address());
  const std::array entry{Value(channel.view()), Value(member.name), Value(member.taker)};
  const std::array entries{Value(std::span<const Value>(entry))};
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
            .integer(member->second.taker)
            .end_list();
      }
      encoder.end_list().key("answer").boolean(member == members_.end());
    };
    static_cast<void>(consumer_.try_send(channel_of(number), write));
    for (size_t i = 0; i < kMembersPerMessage && next != members_.end(); ++i) ++next;
  } while (next != members_.end());
}

bool Chat::is_alive(uint32_t number) { return consumer_.has_reader(channel_of(number)); }

// False: the member is gone (T4).
bool Chat::send(const ReplyAddress& member, std::string_view text) {
  Result<void> sent = consumer_.try_send(member, {{"content", text}});
  if (!sent.ok() && sent.error() == Error::kOutOfBlocks) {
    sent = consumer_.send(member, {{"content", text}}, kRoomWait);
  }
  return sent.ok() || sent.error() != Error::kConnectionGone;
}

void Chat::send_to_all(std::string_view text, const ReplyAddress& speaker,
                       std::string_view speakers_text) {
  std::vector<ReplyAddress> gone;
  for (const auto& [address, member] : members_) {
    if (!send(address, address == speaker ? speakers_text : text)) gone.push_back(address);
  }
  for (const ReplyAddress& address : gone) remove(address);
}

}  // namespace sluice::demo
