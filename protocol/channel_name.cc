// protocol/channel_name.cc -- the grammar of channel names and the addresses inside reply channels.
#include "protocol/channel_name.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "protocol/limits.h"

namespace sluice {
namespace {

constexpr std::string_view kResponsePrefix = "http.response.";
constexpr std::string_view kBodyPrefix = "http.request.body?";
constexpr std::string_view kSendPrefix = "websocket.send.";

constexpr std::array<bool, 256> plain_bytes() noexcept {
  std::array<bool, 256> plain{};
  for (int c = 'a'; c <= 'z'; ++c) plain[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) plain[static_cast<size_t>(c)] = true;
  for (int c = '0'; c <= '9'; ++c) plain[static_cast<size_t>(c)] = true;
  for (char c : {'.', '_', '-'}) plain[static_cast<size_t>(c)] = true;
  return plain;
}
constexpr std::array<bool, 256> kPlain = plain_bytes();

// Takes a decimal number without sign or leading zeros off the front.
template <class T>
bool take_number(std::string_view& rest, T& number) noexcept {
  if (rest.empty() || rest[0] < '0' || rest[0] > '9') return false;
  if (rest[0] == '0' && rest.size() > 1 && rest[1] >= '0' && rest[1] <= '9') return false;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc{}) return false;
  rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  return true;
}

bool take_char(std::string_view& rest, char c) noexcept {
  if (rest.empty() || rest[0] != c) return false;
  rest.remove_prefix(1);
  return true;
}

// Appends to a buffer that is large enough: the longest name is 18 + 5 numbers + 4 marks.
struct NameWriter {
  char* at;
  void text(std::string_view text) noexcept {
    std::memcpy(at, text.data(), text.size());
    at += text.size();
  }
  void number(uint32_t number) noexcept { at = std::to_chars(at, at + 10, number).ptr; }
  void mark(char c) noexcept { *at++ = c; }
};

}  // namespace

std::optional<ChannelKind> parse_channel_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > limits::kChannelNameBytes) return std::nullopt;
  ChannelKind kind = ChannelKind::kNormal;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (kPlain[static_cast<unsigned char>(c)]) continue;
    if (c != '!' && c != '?') return std::nullopt;
    if (kind != ChannelKind::kNormal || i == 0 || i + 1 == name.size()) return std::nullopt;
    kind = c == '!' ? ChannelKind::kProcessSpecific : ChannelKind::kSingleReader;
  }
  return kind;
}

bool valid_group_name(std::string_view name) noexcept {
  return parse_channel_name(name) == ChannelKind::kNormal;
}

bool valid_channel_glob(std::string_view glob) noexcept {
  if (glob.empty() || glob.size() > limits::kChannelNameBytes) return false;
  return std::all_of(glob.begin(), glob.end(), [](char c) {
    return kPlain[static_cast<unsigned char>(c)] || c == '!' || c == '?' || c == '*';
  });
}

bool glob_matches(std::string_view glob, std::string_view name) noexcept {
  size_t g = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;  // the last `*` met, and where what it stands for ends
  size_t star_end = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_end = n;
    } else if (g < glob.size() && glob[g] == name[n]) {
      ++g;
      ++n;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      n = ++star_end;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

ReplyChannelName ReplyChannelName::http_response(const ReplyAddress& address) noexcept {
  ReplyChannelName name;
  NameWriter to{name.text_.data()};
  to.text(kResponsePrefix);
  to.number(address.worker);
  to.mark('-');
  to.number(address.incarnation);
  to.mark('!');
  to.number(address.slot);
  to.mark('.');
  to.number(address.generation);
  to.mark('.');
  to.number(address.ordinal);
  name.length_ = static_cast<uint8_t>(to.at - name.text_.data());
  return name;
}

ReplyChannelName ReplyChannelName::http_request_body(const ReplyAddress& address) noexcept {
  ReplyChannelName name;
  NameWriter to{name.text_.data()};
  to.text(kBodyPrefix);
  to.number(address.worker);
  to.mark('-');
  to.number(address.incarnation);
  to.mark('.');
  to.number(address.slot);
  to.mark('.');
  to.number(address.generation);
  to.mark('.');
  to.number(address.ordinal);
  name.length_ = static_cast<uint8_t>(to.at - name.text_.data());
  return name;
}

ReplyChannelName ReplyChannelName::websocket_send(const ReplyAddress& address) noexcept {
  ReplyChannelName name;
  NameWriter to{name.text_.data()};
  to.text(kSendPrefix);
  to.number(address.worker);
  to.mark('-');
  to.number(address.incarnation);
  to.mark('!');
  to.number(address.slot);
  to.mark('.');
  to.number(address.generation);
  name.length_ = static_cast<uint8_t>(to.at - name.text_.data());
  return name;
}

std::optional<ReplyAddress> parse_reply_channel(std::string_view name) noexcept {
  std::string_view rest = name;
  const bool http = rest.starts_with(kResponsePrefix);
  if (!http && !rest.starts_with(kSendPrefix)) return std::nullopt;
  rest.remove_prefix(http ? kResponsePrefix.size() : kSendPrefix.size());
  ReplyAddress address;
  if (!take_number(rest, address.worker) || !take_char(rest, '-')) return std::nullopt;
  if (!take_number(rest, address.incarnation) || !take_char(rest, '!')) return std::nullopt;
  if (!take_number(rest, address.slot) || !take_char(rest, '.')) return std::nullopt;
  if (!take_number(rest, address.generation)) return std::nullopt;
  if (http) {
    if (!take_char(rest, '.') || !take_number(rest, address.ordinal)) return std::nullopt;
    if (address.ordinal == 0) return std::nullopt;  // 0 stands for a WebSocket
  }
  if (!rest.empty()) return std::nullopt;
  return address;
}

}  // namespace sluice
