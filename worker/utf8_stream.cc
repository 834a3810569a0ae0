// worker/utf8_stream.cc -- the table of well-formed byte sequences (Unicode, table 3-7), a byte at
// a time, with a path of its own for runs of ASCII.
#include "worker/utf8_stream.h"

#include <cstring>

namespace sluice {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080;

// How many bytes from `at` on are ASCII, in steps of eight: what is left is looked at singly.
size_t ascii_run(const std::byte* at, size_t size) noexcept {
  size_t run = 0;
  uint64_t word = 0;
  for (; size - run >= sizeof word; run += sizeof word) {
    std::memcpy(&word, at + run, sizeof word);
    if ((word & kHighBits) != 0) break;
  }
  return run;
}

}  // namespace

bool Utf8Stream::feed(Bytes bytes) noexcept {
  size_t at = 0;
  while (at < bytes.size()) {
    if (missing_ == 0) {
      at += ascii_run(bytes.data() + at, bytes.size() - at);
      if (at == bytes.size()) return true;
      const auto lead = static_cast<uint8_t>(bytes[at++]);
      if (lead >= 0x80 && !begin_character(lead)) return false;
    } else {
      const auto next = static_cast<uint8_t>(bytes[at++]);
      if (next < low_ || next > high_) return false;
      low_ = 0x80;
      high_ = 0xbf;
      --missing_;
    }
  }
  return true;
}

bool Utf8Stream::begin_character(uint8_t lead) noexcept {
  low_ = 0x80;
  high_ = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {  // C0 and C1 would be overlong
    missing_ = 1;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    missing_ = 2;
    if (lead == 0xe0) low_ = 0xa0;   // below: overlong
    if (lead == 0xed) high_ = 0x9f;  // above: surrogates
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    missing_ = 3;
    if (lead == 0xf0) low_ = 0x90;   // below: overlong
    if (lead == 0xf4) high_ = 0x8f;  // above: past U+10FFFF
  } else {
    return false;
  }
  return true;
}

}  // namespace sluice
