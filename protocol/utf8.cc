// protocol/utf8.cc -- text that is not plain ASCII; eight bytes at a time where it is.
#include "protocol/utf8.h"

#include <cstdint>
#include <cstring>

namespace sluice {

bool valid_utf8_beyond_ascii(std::string_view text) noexcept {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = at + text.size();
  while (at != end) {
    if (end - at >= 8) {
      uint64_t word;
      std::memcpy(&word, at, 8);
      if ((word & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const unsigned lead = *at++;
    if (lead < 0x80) continue;
    int more;
    unsigned low = 0x80, high = 0xbf;  // what the second byte may be: no overlong, no surrogate
    if (lead >= 0xc2 && lead <= 0xdf) {
      more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    for (; more > 0; --more) {
      if (at == end || *at < low || *at > high) return false;
      ++at;
      low = 0x80;
      high = 0xbf;
    }
  }
  return true;
}

}  // namespace sluice
