// worker/cookie.cc -- cookies, parsed as Django's parse_cookie does.
#include "worker/cookie.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "worker/header_name.h"
#include "worker/text_writer.h"
#include "worker/white_space.h"

namespace sluice {
namespace {

struct Cookie {
  std::string_view name;
  std::string_view value;
};

// Calls take(Cookie) for each chunk that is not empty.
template <class Take>
void split_cookies(std::string_view header, Take take) {
  for (;;) {
    const size_t end = header.find(';');
    const std::string_view chunk = header.substr(0, end);
    const size_t equals = chunk.find('=');
    Cookie cookie;
    if (equals == std::string_view::npos) {
      cookie.value = strip_text(chunk);
    } else {
      cookie = {strip_text(chunk.substr(0, equals)), strip_text(chunk.substr(equals + 1))};
    }
    if (!cookie.name.empty() || !cookie.value.empty()) take(cookie);
    if (end == std::string_view::npos) return;
    header.remove_prefix(end + 1);
  }
}

void encode_value(std::string_view value, Encoder& encoder) noexcept {
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') {
    encoder.text(value);
    return;
  }
  const std::string_view inner = value.substr(1, value.size() - 2);
  if (inner.find('\\') == std::string_view::npos) {
    encoder.text(inner);
    return;
  }
  TextWriter writer(encoder, inner.size());  // \377 becomes 2 bytes: nothing grows
  const auto octal = [&](size_t at, char most) {
    return at < inner.size() && inner[at] >= '0' && inner[at] <= most;
  };
  for (size_t at = 0; at < inner.size(); ++at) {
    if (inner[at] != '\\' || at + 1 == inner.size() || inner[at + 1] == '\n') {
      writer.put(inner[at]);
    } else if (octal(at + 1, '3') && octal(at + 2, '7') && octal(at + 3, '7')) {
      const int code = (inner[at + 1] - '0') * 64 + (inner[at + 2] - '0') * 8 + inner[at + 3] - '0';
      writer.latin1(static_cast<uint8_t>(code));
      at += 3;
    } else {
      writer.put(inner[++at]);
    }
  }
  writer.end();
}

constexpr size_t kFew = 32;

// The cookies of one head, in order: a few on the stack, which nothing clears beforehand.
class CookieList {
 public:
  void add(const Cookie& cookie) {
    if (count_ < kFew) {
      new (few_ + count_ * sizeof(Cookie)) Cookie(cookie);
    } else {
      if (many_.empty()) many_.assign(few().begin(), few().end());
      many_.push_back(cookie);
    }
    ++count_;
  }
  [[nodiscard]] std::span<const Cookie> all() const noexcept {
    return count_ > kFew ? std::span<const Cookie>(many_) : few();
  }

 private:
  [[nodiscard]] std::span<const Cookie> few() const noexcept {
    return {std::launder(reinterpret_cast<const Cookie*>(few_)), std::min(count_, kFew)};
  }

  alignas(Cookie) std::byte few_[kFew * sizeof(Cookie)];
  size_t count_ = 0;
  std::vector<Cookie> many_;
};
static_assert(std::is_trivially_copyable_v<Cookie> && std::is_trivially_destructible_v<Cookie>);

bool named_again(std::span<const Cookie> cookies, size_t index) noexcept {
  for (size_t later = index + 1; later < cookies.size(); ++later) {
    if (cookies[later].name == cookies[index].name) return true;
  }
  return false;
}

// Which names come again later. Sorted, not hashed: there is nothing to aim collisions at.
std::vector<bool> find_named_again(std::span<const Cookie> cookies) {
  std::vector<uint32_t> order(cookies.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const int names = cookies[a].name.compare(cookies[b].name);
    return names != 0 ? names < 0 : a < b;
  });
  std::vector<bool> again(cookies.size(), false);
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    again[order[i]] = cookies[order[i]].name == cookies[order[i + 1]].name;
  }
  return again;
}

void encode_list(const CookieList& list, Encoder& encoder) {
  const std::span<const Cookie> cookies = list.all();
  std::vector<bool> again;
  const bool many = cookies.size() > kFew;  // comparing each with each would be theirs to abuse
  if (many) again = find_named_again(cookies);
  encoder.begin_map();
  for (size_t index = 0; index < cookies.size(); ++index) {
    if (many ? again[index] : named_again(cookies, index)) continue;
    encoder.key(cookies[index].name);
    encode_value(cookies[index].value, encoder);
  }
  encoder.end_map();
}

}  // namespace

void encode_cookies(std::string_view header, Encoder& encoder) noexcept {
  const HeaderField field{"cookie", header};
  encode_cookies(std::span(&field, 1), encoder);
}

void encode_cookies(std::span<const HeaderField> headers, Encoder& encoder) noexcept {
  CookieList list;
  // Texts made for bytes that are not UTF-8; views into them are in the list.
  std::vector<std::unique_ptr<std::string>> repaired;
  for (const HeaderField& field : headers) {
    if (!same_header_name(field.name, "cookie")) continue;
    std::string_view header = field.value;
    if (!valid_utf8(header)) {
      repaired.push_back(std::make_unique<std::string>(repaired_utf8(header)));
      header = *repaired.back();
    }
    split_cookies(header, [&](const Cookie& cookie) { list.add(cookie); });
  }
  encode_list(list, encoder);
}

}  // namespace sluice
