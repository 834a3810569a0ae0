// worker/deflate.cc -- zlib, called as RFC 7692 section 7.2 asks; see deflate.h.
#include "worker/deflate.h"

#include <algorithm>
#include <array>
#include <memory>
#include <new>

#include "protocol/limits.h"

namespace sluice {
namespace {

constexpr int kLevel = 3;  // most of what deflate can save on text, at half the time of its default
constexpr int kInflateBits = 15;  // any client's window fits
constexpr size_t kPieceBytes = 16 * limits::kKiB;
constexpr uint8_t kFewestBits = 9;
constexpr uint8_t kMostBits = 15;
constexpr std::array<std::byte, 4> kTail = {std::byte{0}, std::byte{0}, std::byte{0xff}, std::byte{0xff}};

thread_local std::vector<std::byte> deflated;  // what the last deflate() gave

// zlib's default, 8, means a hash table of 64 KiB, gone through each time the window is full: with
// windows of 512 bytes that is half of the work. A smaller table finds nearly as much in them.
constexpr int memory_level(uint8_t window_bits) noexcept {
  return window_bits <= 10 ? 6 : window_bits == 11 ? 7 : 8;
}

uint8_t* zlib_bytes(Bytes bytes) noexcept {
  return reinterpret_cast<uint8_t*>(const_cast<std::byte*>(bytes.data()));  // zlib only reads them
}

}  // namespace

// ---- Deflater -----------------------------------------------------------------------------------

Deflater::Deflater(uint8_t window_bits) {
  if (deflateInit2(&stream_, kLevel, Z_DEFLATED, -int{window_bits}, memory_level(window_bits),
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
}

Deflater::~Deflater() { deflateEnd(&stream_); }

void Deflater::reset() noexcept { deflateReset(&stream_); }

Bytes Deflater::deflate(Bytes content) noexcept {
  if (deflated.capacity() > limits::kSpareMessageBytes) deflated = {};  // what one large message needed
  stream_.next_in = zlib_bytes(content);
  stream_.avail_in = static_cast<uInt>(content.size());  // a message is far shorter
  size_t size = 0;
  do {
    deflated.resize(size + kPieceBytes);
    stream_.next_out = reinterpret_cast<uint8_t*>(deflated.data() + size);
    stream_.avail_out = kPieceBytes;
    ::deflate(&stream_, Z_SYNC_FLUSH);
    size = deflated.size() - stream_.avail_out;
  } while (stream_.avail_out == 0);
  CHECK(stream_.avail_in == 0 && size >= kTail.size());
  return Bytes(deflated).first(size - kTail.size());
}

Bytes Deflater::deflate_alone(Bytes content, uint8_t window_bits) noexcept {
  thread_local std::array<std::unique_ptr<Deflater>, kMostBits - kFewestBits + 1> shared;
  std::unique_ptr<Deflater>& deflater = shared[window_bits - kFewestBits];
  if (deflater == nullptr) {
    deflater = std::make_unique<Deflater>(window_bits);
  } else {
    deflater->reset();
  }
  return deflater->deflate(content);
}

// ---- Inflater -----------------------------------------------------------------------------------

Inflater::Inflater() {
  if (inflateInit2(&stream_, -kInflateBits) != Z_OK) throw std::bad_alloc();
}

Inflater::~Inflater() { inflateEnd(&stream_); }

void Inflater::reset() noexcept {
  inflateReset(&stream_);
  stream_ended_ = false;
}

// Behind a last block another may follow (RFC 7692 section 7.2.3.5), with the same window before it.
void Inflater::begin_next_stream() noexcept {
  std::array<Bytef, size_t{1} << kInflateBits> window;
  uInt size = 0;
  inflateGetDictionary(&stream_, window.data(), &size);
  inflateReset(&stream_);
  inflateSetDictionary(&stream_, window.data(), size);
  stream_ended_ = false;
}

Inflater::Outcome Inflater::inflate(Bytes bytes, std::vector<std::byte>& out, size_t most) noexcept {
  std::array<std::byte, kPieceBytes> piece;
  stream_.next_in = zlib_bytes(bytes);
  stream_.avail_in = static_cast<uInt>(bytes.size());  // a read's, at most
  for (bool full = false; full || stream_.avail_in > 0;) {
    if (stream_ended_) begin_next_stream();
    stream_.next_out = reinterpret_cast<uint8_t*>(piece.data());
    stream_.avail_out = kPieceBytes;
    const int said = ::inflate(&stream_, Z_SYNC_FLUSH);
    const size_t size = kPieceBytes - stream_.avail_out;
    if (size > most - out.size()) return Outcome::kTooLarge;
    out.insert(out.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(size));
    full = stream_.avail_out == 0;
    stream_ended_ = said == Z_STREAM_END;
    if (stream_ended_) full = false;  // all of it is out
    if (said == Z_BUF_ERROR && stream_.avail_in == 0) return Outcome::kGood;  // there was no more
    if (said != Z_OK && said != Z_STREAM_END) return Outcome::kBroken;
  }
  return Outcome::kGood;
}

Inflater::Outcome Inflater::finish(std::vector<std::byte>& out, size_t most) noexcept {
  if (stream_ended_) return Outcome::kGood;
  const Outcome outcome = inflate(kTail, out, most);
  if (outcome != Outcome::kGood) return outcome;
  // zlib tells what it is in the middle of: 128, the end of a block; 63, bits it holds of the next (Z3).
  constexpr int kAtBlockEnd = 128;
  constexpr int kBitsHeld = 63;
  const bool at_end = (stream_.data_type & (kAtBlockEnd | kBitsHeld)) == kAtBlockEnd;
  return at_end ? Outcome::kGood : Outcome::kBroken;
}

}  // namespace sluice
