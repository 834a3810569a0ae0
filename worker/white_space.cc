// worker/white_space.cc -- white space as Python's str.strip and bytes.strip see it.
#include "worker/white_space.h"

#include <cstddef>
#include <cstdint>

namespace sluice {
namespace {

// Length of the white space character (Python's str.isspace) at the front of UTF-8 text; 0 for
// none.
size_t space_at_front(std::string_view text) noexcept {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (text.empty()) return 0;
  const uint8_t c = at(0);
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f) ? 1 : 0;
  if (c == 0xc2 && text.size() >= 2) return at(1) == 0x85 || at(1) == 0xa0 ? 2 : 0;
  if (text.size() < 3) return 0;
  const uint32_t code = (c & 15u) << 12 | (at(1) & 63u) << 6 | (at(2) & 63u);
  if (c < 0xe1 || c > 0xe3) return 0;
  const bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
                     code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
  return space ? 3 : 0;
}

size_t space_at_back(std::string_view text) noexcept {
  for (size_t size = 1; size <= 3 && size <= text.size(); ++size) {
    if (space_at_front(text.substr(text.size() - size)) == size) return size;
  }
  return 0;
}

}  // namespace

std::string_view strip_text(std::string_view text) noexcept {
  while (const size_t size = space_at_front(text)) text.remove_prefix(size);
  while (const size_t size = space_at_back(text)) text.remove_suffix(size);
  return text;
}

std::string_view strip_bytes(std::string_view bytes) noexcept {
  constexpr std::string_view kSpace = " \t\n\r\v\f";
  const size_t begin = bytes.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return bytes.substr(begin, bytes.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace sluice
