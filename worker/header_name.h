// worker/header_name.h -- names of header fields are compared and rewritten as ASCII, never by
// locale.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

namespace header_name_tables {

constexpr std::array<char, 256> make(bool upper) noexcept {
  std::array<char, 256> table{};
  for (size_t i = 0; i < 256; ++i) {
    auto c = static_cast<char>(static_cast<unsigned char>(i));
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (upper && c == '-') c = '_';
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    table[i] = c;
  }
  return table;
}
inline constexpr std::array<char, 256> kLower = make(false);
inline constexpr std::array<char, 256> kMeta = make(true);  // upper case, `-` as `_`

}  // namespace header_name_tables

[[nodiscard]] constexpr char lower_case(char c) noexcept {
  return header_name_tables::kLower[static_cast<unsigned char>(c)];
}
[[nodiscard]] constexpr char meta_case(char c) noexcept {
  return header_name_tables::kMeta[static_cast<unsigned char>(c)];
}

[[nodiscard]] constexpr bool same_header_name(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower_case(a[i]) != lower_case(b[i])) return false;
  }
  return true;
}

}  // namespace sluice
