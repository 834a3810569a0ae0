// worker/chunk_scan.h -- reads the framing of a chunked body (RFC 9112 section 7.1) before llhttp
// does: finds where data lies, bounds sizes, extensions and trailers, and refuses every byte that
// is not the framing's. llhttp is then given sizes, data and ends, never extensions or trailers.
//
// K1  What is refused depends on the bytes alone, never on how they were cut.
// K2  No white space, no sign and no prefix around a size; every line ends in CRLF, data too.
// K3  Extensions and trailers are checked, counted and dropped: nothing of them can become a
// header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/limits.h"
#include "worker/http_session.h"

namespace sluice {

class ChunkScan {
 public:
  enum class Step : uint8_t {
    kMore,     // all bytes were taken and a line is still open
    kSize,     // a size line ended: size(), size_line()
    kData,     // the bytes taken are data
    kDataEnd,  // the CRLF behind a chunk's data ended
    kEnd,      // the last line ended: the body is over
    kRefused,  // refusal()
  };

  void begin() noexcept { *this = ChunkScan(); }
  // Reads up to the end of the next step; `taken` says how many bytes that took.
  [[nodiscard]] Step next(Bytes bytes, size_t& taken) noexcept;

  [[nodiscard]] uint64_t size() const noexcept { return size_; }
  // The digits as sent, then CRLF.
  [[nodiscard]] std::string_view size_line() const noexcept { return {line_, digits_ + 2u}; }
  [[nodiscard]] const Refusal& refusal() const noexcept { return refusal_; }

 private:
  enum class State : uint8_t {
    kSizeDigits,
    kExtensionStart,  // behind a ';'
    kExtensionName,
    kExtensionValueStart,  // behind a '='
    kExtensionValue,
    kQuoted,
    kQuotedPair,  // behind a '\'
    kQuotedEnd,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kLastLf,
  };
  // Takes one byte of framing.
  Step byte(char c) noexcept;
  Step extension(char c) noexcept;
  Step count_extension_byte() noexcept;
  Step trailer(char c) noexcept;
  Step refuse(int status, std::string_view reason) noexcept {
    refusal_ = {status, reason};
    return Step::kRefused;
  }

  uint64_t size_ = 0;
  uint64_t left_ = 0;  // of this chunk's data
  State state_ = State::kSizeDigits;
  uint8_t digits_ = 0;
  char line_[limits::kChunkSizeDigits + 2] = {};
  uint32_t extension_bytes_ = 0;  // of this chunk
  uint32_t extension_total_ = 0;  // of this body
  uint32_t trailer_bytes_ = 0;
  uint32_t trailer_fields_ = 0;
  Refusal refusal_{};
};

}  // namespace sluice
