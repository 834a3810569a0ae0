// worker/frame_reader.cc -- wslay's frame interface, fed from memory.
#include "worker/frame_reader.h"

#include <wslay/wslay.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace sluice {
namespace {

// What stood on the wire before the payload. Lengths are in their shortest form (F2).
size_t header_bytes(uint64_t payload, bool masked) noexcept {
  const size_t length = payload < 126 ? 0 : payload < 65536 ? 2 : 8;
  return 2 + length + (masked ? 4 : 0);
}

}  // namespace

FrameReader::FrameReader() {
  const wslay_frame_callbacks callbacks = {
      .send_callback = nullptr, .recv_callback = &read_input, .genmask_callback = nullptr};
  if (wslay_frame_context_init(&wslay_, &callbacks, this) != 0) throw std::bad_alloc();
}

FrameReader::~FrameReader() { wslay_frame_context_free(wslay_); }

Bytes FrameReader::take_rest() noexcept { return std::exchange(input_, Bytes{}); }

FrameReader::Next FrameReader::next(FramePiece& piece) noexcept {
  wslay_frame_iocb read = {};
  const ssize_t got = wslay_frame_recv(wslay_, &read);
  if (got == WSLAY_ERR_WANT_READ) return Next::kNeedsInput;
  if (got < 0) return Next::kBroken;

  piece.bytes = std::as_bytes(std::span(read.data, read.data_length));
  piece.frame_bytes = read.payload_length;
  piece.opcode = read.opcode;
  piece.reserved = read.rsv;
  piece.fin = read.fin != 0;
  piece.masked = read.mask != 0;
  piece.first = !in_frame_;
  if (piece.first) {
    frame_left_ = read.payload_length;
    held_ -= header_bytes(read.payload_length, piece.masked);
  }
  held_ -= read.data_length;
  frame_left_ -= read.data_length;
  in_frame_ = frame_left_ > 0;
  piece.last = !in_frame_;
  return Next::kPiece;
}

ssize_t FrameReader::read_input(uint8_t* to, size_t room, int /*flags*/, void* self) {
  auto& reader = *static_cast<FrameReader*>(self);
  const size_t size = std::min(room, reader.input_.size());
  if (size == 0) return -1;  // wslay turns this into WSLAY_ERR_WANT_READ
  std::memcpy(to, reader.input_.data(), size);
  reader.input_ = reader.input_.subspan(size);
  reader.held_ += size;
  return static_cast<ssize_t>(size);
}

}  // namespace sluice
