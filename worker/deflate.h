// worker/deflate.h -- the payloads of compressed messages (RFC 7692 section 7.2) over zlib.
//
// Z1  A Deflater's output is a whole message: flushed to a byte, without the four bytes 00 00 ff ff.
// Z2  An Inflater gives out what arrives as it arrives, and stops at a bound: a bomb costs its bound.
// Z3  A message that does not end where a block ends is broken; so is anything zlib refuses.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <vector>

#include "protocol/codec.h"

namespace sluice {

// About 260 KiB at 15 bits. Throws std::bad_alloc.
class Deflater {
 public:
  explicit Deflater(uint8_t window_bits);
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // Z1. The bytes are good until this thread deflates again.
  [[nodiscard]] Bytes deflate(Bytes content) noexcept;
  // Forgets what earlier messages were made of.
  void reset() noexcept;

  // This thread's, without a context: each message stands for itself.
  [[nodiscard]] static Bytes deflate_alone(Bytes content, uint8_t window_bits) noexcept;

 private:
  z_stream stream_{};
};

// About 44 KiB. Throws std::bad_alloc.
class Inflater {
 public:
  enum class Outcome : uint8_t { kGood, kBroken, kTooLarge };

  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Appends what the next bytes of a message hold; `out` never grows past `most` bytes.
  [[nodiscard]] Outcome inflate(Bytes bytes, std::vector<std::byte>& out, size_t most) noexcept;
  // The message is over: what it still holds is appended.
  [[nodiscard]] Outcome finish(std::vector<std::byte>& out, size_t most) noexcept;
  // Forgets what earlier messages were made of.
  void reset() noexcept;

 private:
  void begin_next_stream() noexcept;

  z_stream stream_{};
  bool stream_ended_ = false;  // by a block that said it was the last, with nothing behind it yet
};

}  // namespace sluice
