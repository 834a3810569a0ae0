// worker/base64.cc -- base64 as Python's binascii reads it when it is not strict.
#include "worker/base64.h"

#include <cstdint>

namespace sluice {
namespace {

int sextet(char c) noexcept {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

}  // namespace

bool decode_base64(std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int quad = 0;  // sextets of the quad so far
  int pads = 0;
  for (const char c : text) {
    if (c == '=') {
      if (quad >= 2 && quad + ++pads >= 4) return true;
      continue;
    }
    const int value = sextet(c);
    if (value < 0) continue;
    pads = 0;
    bits = (bits << 6) | static_cast<uint32_t>(value);
    quad = (quad + 1) % 4;
    if (quad == 2) out.push_back(static_cast<char>(bits >> 4));
    if (quad == 3) out.push_back(static_cast<char>(bits >> 2));
    if (quad == 0) out.push_back(static_cast<char>(bits));
  }
  return quad == 0;
}

}  // namespace sluice
