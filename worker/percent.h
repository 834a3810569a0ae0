// worker/percent.h -- the %XX of URLs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

// The value of a hexadecimal digit, -1 for anything else.
[[nodiscard]] constexpr int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte that the escape at text[at] stands for, -1 where a `%` begins none; it stays as it is
// then.
[[nodiscard]] constexpr int percent_escape(std::string_view text, size_t at) noexcept {
  if (text[at] != '%' || text.size() - at < 3) return -1;
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace sluice
