// worker/utf8_stream.h -- UTF-8 checked as its bytes arrive, wherever they are split.
//
// U1  feed() refuses at the first byte that no valid text can have there: overlong forms,
// surrogates
//     and code points past U+10FFFF fail on their second byte, not at the end of the message.
#pragma once

#include <cstdint>

#include "protocol/codec.h"

namespace sluice {

class Utf8Stream {
 public:
  // False when what was fed so far begins no valid text; then only reset() makes sense.
  [[nodiscard]] bool feed(Bytes bytes) noexcept;
  // What was fed so far ends where a character ends.
  [[nodiscard]] bool complete() const noexcept { return missing_ == 0; }
  void reset() noexcept { missing_ = 0; }

 private:
  [[nodiscard]] bool begin_character(uint8_t lead) noexcept;

  // Of the character begun: the bytes still to come, and what the next one may be.
  uint8_t missing_ = 0;
  uint8_t low_ = 0x80;
  uint8_t high_ = 0xbf;
};

}  // namespace sluice
