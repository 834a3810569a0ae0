// worker/header_field.h -- one header line, as views into the bytes it came in, and the few rules
// of RFC 9110 section 5.6 that reading and writing headers share: tokens, lists, case.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace sluice {

struct HeaderField {
  std::string_view name;   // as sent
  std::string_view value;  // surrounding white space removed
};

// What names and methods are made of (RFC 9110 section 5.6.2).
inline constexpr std::array<bool, 256> kTokenCharacters = [] {
  std::array<bool, 256> table{};
  for (unsigned char c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned char c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (unsigned char c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned char c :
       {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'})
    table[c] = true;
  return table;
}();
[[nodiscard]] constexpr bool is_token_character(char c) noexcept {
  return kTokenCharacters[static_cast<unsigned char>(c)];
}
[[nodiscard]] constexpr bool is_token(std::string_view text) noexcept {
  for (char c : text)
    if (!is_token_character(c)) return false;
  return !text.empty();
}

[[nodiscard]] constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// Whether `text` is `lower`, which is written in lower case, in any case of ASCII letters.
[[nodiscard]] constexpr bool equals_lower(std::string_view text, std::string_view lower) noexcept {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i)
    if (to_lower(text[i]) != lower[i]) return false;
  return true;
}

[[nodiscard]] constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }
[[nodiscard]] constexpr std::string_view trim_blanks(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Calls `take` with each element of a comma-separated list, trimmed; with an empty one too.
template <class Take>
constexpr void for_each_element(std::string_view list, Take take) {
  for (;;) {
    size_t comma = list.find(',');
    take(trim_blanks(list.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

// Whether one element of the list is `lower`, in any case.
[[nodiscard]] constexpr bool list_has(std::string_view list, std::string_view lower) noexcept {
  bool found = false;
  for_each_element(list, [&](std::string_view element) { found |= equals_lower(element, lower); });
  return found;
}

}  // namespace sluice
