// consumer/channels.cc -- the channels of an attachment: reading, naming, making and finding them.
#include <sys/random.h>

#include <algorithm>

#include "consumer/attachment.h"
#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice {
namespace {

// What new_channel() appends: 26 letters and digits, 5 bits each, of which nobody guesses 130. The
// first is a letter, so that no reply address of a worker looks like it.
constexpr size_t kSuffixBytes = 26;
constexpr std::string_view kSuffixAlphabet = "abcdefghijklmnopqrstuvwxyz234567";

bool append_suffix(std::string& name) {
  std::array<uint8_t, kSuffixBytes> random{};
  for (size_t filled = 0; filled < random.size();) {
    const ssize_t got = ::getrandom(random.data() + filled, random.size() - filled, 0);
    if (got > 0) filled += static_cast<size_t>(got);
    if (got < 0 && errno != EINTR) return false;
  }
  random[0] %= 26;
  for (const uint8_t byte : random) name += kSuffixAlphabet[byte % kSuffixAlphabet.size()];
  return true;
}

MessageKind kind_of(std::string_view channel) noexcept {
  constexpr std::pair<std::string_view, MessageKind> kKinds[] = {
      {"http.request", MessageKind::kHttpRequest},
      {"http.request.body", MessageKind::kHttpRequestBody},
      {"http.disconnect", MessageKind::kHttpDisconnect},
      {"websocket.connect", MessageKind::kWebSocketConnect},
      {"websocket.receive", MessageKind::kWebSocketReceive},
      {"websocket.disconnect", MessageKind::kWebSocketDisconnect},
  };
  for (const auto& [name, kind] : kKinds) {
    if (name == channel) return kind;
  }
  return MessageKind::kOther;
}

}  // namespace

Result<void> Attachment::read(std::string_view channel) noexcept {
  try {
    const auto reading = layer_.start_reading(channel);
    if (!reading.ok()) return reading.error();
  } catch (const std::bad_alloc&) {
    return Error::kOutOfBlocks;
  }
  return {};
}

Result<std::string> Attachment::new_channel(std::string_view prefix) noexcept {
  try {
    std::string name(prefix);
    if (prefix.empty() || (prefix.back() != '?' && prefix.back() != '!')) {
      return Error::kChannelNameInvalid;
    }
    if (!append_suffix(name)) return Error::kRefused;
    if (prefix.back() == '?') {
      if (const auto reading = read(name); !reading.ok()) return reading.error();
      return name;
    }
    own_inboxes_.reserve(own_inboxes_.size() + 1);
    const auto made = layer_.channels().make_inbox_channel(name, layer_.me());
    if (!made.ok()) return made.error();
    own_inboxes_.push_back(*made);
    return name;
  } catch (const std::bad_alloc&) {
    return Error::kOutOfBlocks;
  }
}

// The channel a message names: `generation` as it stands in the message, 0 of one kept for good.
// Null: it has ended since.
const Attachment::KnownChannel* Attachment::known_channel(uint32_t channel,
                                                          uint64_t generation) noexcept {
  const shm::ChannelRecord* record = segment_.channel(channel);
  if (record == nullptr) return nullptr;
  const auto now = static_cast<uint32_t>(record->truth.load(std::memory_order::acquire) >> 32);
  if (generation != 0 && generation != now) return nullptr;
  KnownChannel& known = channels_[channel];
  if (known.name != nullptr && known.generation == now) return &known;
  try {
    if (handles_ == 1) old_names_.clear();  // no message lives that might show one
    auto name = std::make_unique<const std::string>(layer_.channels().name_of(channel));
    if (name->empty()) return nullptr;
    old_names_.reserve(old_names_.size() + 1);
    if (known.name != nullptr) old_names_.push_back(std::move(known.name));
    known.kind = kind_of(*name);
    known.name = std::move(name);
    known.generation = now;
    return &known;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

Result<Attachment::Resolved> Attachment::resolve(const Destination& to) noexcept {
  if (to.name().empty()) {
    if (to.address().worker == 0) return Error::kChannelNameInvalid;
    return Resolved{.address = to.address()};
  }
  if (const auto address = parse_reply_channel(to.name())) return Resolved{.address = *address};
  shm::ChannelTable& channels = layer_.channels();
  if (parse_channel_name(to.name()) == ChannelKind::kProcessSpecific) {
    const auto found = channels.find_now(to.name());
    const auto inbox = found ? channels.inbox_of(*found) : std::nullopt;
    if (!inbox) return Error::kReaderGone;
    return Resolved{.channel = *found, .inbox = *inbox};
  }
  const auto channel = channels.open_now(to.name());
  if (!channel.ok()) return channel.error();
  return Resolved{.channel = *channel};
}

}  // namespace sluice
