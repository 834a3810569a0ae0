// protocol/utf8.h -- which bytes may be called text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice {

// No byte above 0x7f. Short text is most of what there is, so this is inline and without a loop for
// it: words are read from both ends and may overlap.
[[nodiscard]] inline bool is_ascii(std::string_view text) noexcept {
  const auto word_at = [&text]<class Word>(size_t at, Word word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    return word;
  };
  const size_t size = text.size();
  uint64_t seen = 0;
  if (size >= 8) {
    size_t at = 0;
    for (; size - at > 8; at += 8) seen |= word_at(at, uint64_t{});
    seen |= word_at(size - 8, uint64_t{});
  } else if (size >= 4) {
    seen = word_at(0, uint32_t{}) | word_at(size - 4, uint32_t{});
  } else {
    for (const char c : text) seen |= static_cast<uint8_t>(c);
  }
  return (seen & 0x8080808080808080u) == 0;
}

// What is_ascii() does not settle; valid_utf8() is the one to ask.
[[nodiscard]] bool valid_utf8_beyond_ascii(std::string_view text) noexcept;

// As RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF.
[[nodiscard]] inline bool valid_utf8(std::string_view text) noexcept {
  return is_ascii(text) || valid_utf8_beyond_ascii(text);
}

}  // namespace sluice
