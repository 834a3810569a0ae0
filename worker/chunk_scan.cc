// worker/chunk_scan.cc -- see the header. Framing is read byte by byte: it is short, and cut
// anywhere.
#include "worker/chunk_scan.h"

#include <algorithm>

#include "worker/header_field.h"

namespace sluice {
namespace {

// The value of a hexadecimal digit; -1 for anything else.
int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// May stand in a quoted string or a trailer's value: anything but control characters, and HTAB.
bool is_text(char c) noexcept {
  return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
}

}  // namespace

ChunkScan::Step ChunkScan::next(Bytes bytes, size_t& taken) noexcept {
  taken = 0;
  if (state_ == State::kData && !bytes.empty()) {
    taken = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
    left_ -= taken;
    if (left_ == 0) state_ = State::kDataCr;
    return Step::kData;
  }
  while (taken < bytes.size()) {
    Step step = byte(static_cast<char>(bytes[taken++]));
    if (step != Step::kMore) return step;
  }
  return Step::kMore;
}

ChunkScan::Step ChunkScan::byte(char c) noexcept {
  switch (state_) {
    case State::kSizeDigits: {
      const int value = hex_value(c);
      if (value >= 0) {
        if (digits_ == limits::kChunkSizeDigits) return refuse(400, "chunk size too long");
        line_[digits_++] = c;
        size_ = size_ * 16 + static_cast<uint64_t>(value);
        return Step::kMore;
      }
      if (digits_ == 0) return refuse(400, "no chunk size");
      if (c == '\r') {
        state_ = State::kSizeLf;
      } else if (c == ';') {
        state_ = State::kExtensionStart;
        return count_extension_byte();
      } else {
        return refuse(400, "malformed chunk size");
      }
      return Step::kMore;
    }
    case State::kSizeLf:
      if (c != '\n') return refuse(400, "bare CR in a chunk size line");
      line_[digits_] = '\r';
      line_[digits_ + 1] = '\n';
      left_ = size_;
      state_ = size_ == 0 ? State::kTrailerStart : State::kData;
      return Step::kSize;
    case State::kDataCr:
      if (c != '\r') return refuse(400, "chunk data longer than its size");
      state_ = State::kDataLf;
      return Step::kMore;
    case State::kDataLf:
      if (c != '\n') return refuse(400, "bare CR behind chunk data");
      state_ = State::kSizeDigits;
      size_ = 0;
      digits_ = 0;
      extension_bytes_ = 0;
      return Step::kDataEnd;
    case State::kTrailerStart:
    case State::kTrailerName:
    case State::kTrailerValue:
    case State::kTrailerLf:
    case State::kLastLf:
      return trailer(c);
    default:
      return extension(c);
  }
}

ChunkScan::Step ChunkScan::count_extension_byte() noexcept {
  if (++extension_bytes_ > limits::kChunkExtensionBytes ||
      ++extension_total_ > limits::kChunkExtensionsTotalBytes)
    return refuse(400, "chunk extensions too long");
  return Step::kMore;
}

// *( ";" token [ "=" ( token / quoted-string ) ] ), without the white space that RFC 9112 calls
// bad.
ChunkScan::Step ChunkScan::extension(char c) noexcept {
  const bool quoted = state_ == State::kQuoted || state_ == State::kQuotedPair;
  const bool may_end = state_ == State::kExtensionName || state_ == State::kExtensionValue ||
                       state_ == State::kQuotedEnd;
  if (c == '\r' && may_end) {
    state_ = State::kSizeLf;
    return Step::kMore;
  }
  if (count_extension_byte() == Step::kRefused) return Step::kRefused;
  if (quoted) {
    if (!is_text(c)) return refuse(400, "malformed chunk extension");
    if (state_ == State::kQuotedPair)
      state_ = State::kQuoted;
    else if (c == '"')
      state_ = State::kQuotedEnd;
    else if (c == '\\')
      state_ = State::kQuotedPair;
  } else if (c == ';' && may_end) {
    state_ = State::kExtensionStart;
  } else if (c == '=' && state_ == State::kExtensionName) {
    state_ = State::kExtensionValueStart;
  } else if (c == '"' && state_ == State::kExtensionValueStart) {
    state_ = State::kQuoted;
  } else if (is_token_character(c) && state_ != State::kQuotedEnd) {
    if (state_ == State::kExtensionStart) state_ = State::kExtensionName;
    if (state_ == State::kExtensionValueStart) state_ = State::kExtensionValue;
  } else {
    return refuse(400, "malformed chunk extension");
  }
  return Step::kMore;
}

// *( name ":" value CRLF ) CRLF
ChunkScan::Step ChunkScan::trailer(char c) noexcept {
  if (++trailer_bytes_ > limits::kTrailerBytes) return refuse(431, "trailers too long");
  switch (state_) {
    case State::kTrailerStart:
      if (c == '\r') {
        state_ = State::kLastLf;
      } else if (!is_token_character(c)) {
        return refuse(400, "malformed trailer");
      } else if (++trailer_fields_ > limits::kTrailerFields) {
        return refuse(431, "too many trailers");
      } else {
        state_ = State::kTrailerName;
      }
      return Step::kMore;
    case State::kTrailerName:
      if (c == ':')
        state_ = State::kTrailerValue;
      else if (!is_token_character(c))
        return refuse(400, "malformed trailer");
      return Step::kMore;
    case State::kTrailerValue:
      if (c == '\r')
        state_ = State::kTrailerLf;
      else if (!is_text(c))
        return refuse(400, "control character in a trailer");
      return Step::kMore;
    case State::kTrailerLf:
      if (c != '\n') return refuse(400, "bare CR in a trailer");
      state_ = State::kTrailerStart;
      return Step::kMore;
    default:  // kLastLf
      if (c != '\n') return refuse(400, "bare CR behind the last chunk");
      return Step::kEnd;
  }
}

}  // namespace sluice
