// worker/frame_reader.h -- WebSocket frames out of a byte stream; the only file that knows wslay.
//
// F1  A piece holds unmasked payload of one frame; its bytes are valid until the next call of
// next().
//     An empty frame is one empty piece; no other piece is empty.
// F2  Refused here, by wslay: control frames that are long or fragmented, lengths not in their
//     shortest form or with the highest bit set. Masking, reserved bits, opcodes and the order of
//     frames are the session's to judge: it knows what was negotiated.
// F3  After kBroken the reader is of no use.
#pragma once

#include <cstdint>

#include "protocol/codec.h"

struct wslay_frame_context;

namespace sluice {

// A run of payload, as it came, and the frame it belongs to.
struct FramePiece {
  Bytes bytes;
  uint64_t frame_bytes = 0;  // payload of the whole frame
  uint8_t opcode = 0;
  uint8_t reserved = 0;  // RSV1 RSV2 RSV3 as three bits, RSV1 the highest
  bool fin = false;
  bool masked = false;
  bool first = false;  // of its frame; the frame's header was just read
  bool last = false;   // of its frame
};

// Owner     whoever made it; wslay points at it, so it stays where it is.
// Borrows   the bytes given, until next() said kNeedsInput or rest() took them back.
class FrameReader {
 public:
  enum class Next : uint8_t { kPiece, kNeedsInput, kBroken };

  FrameReader();
  ~FrameReader();
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  // The bytes to read next. What was given before must be used up.
  void give(Bytes input) noexcept { input_ = input; }
  // Takes back what was given and not looked at yet; the reader may hold up to 4 KiB more.
  [[nodiscard]] Bytes take_rest() noexcept;
  [[nodiscard]] Next next(FramePiece& piece) noexcept;

  // Bytes taken in that were not handed out as pieces.
  [[nodiscard]] size_t held() const noexcept { return held_; }
  // Exactly between two frames: nothing remains of what was read so far.
  [[nodiscard]] bool between_frames() const noexcept { return held_ == 0 && !in_frame_; }

 private:
  static ssize_t read_input(uint8_t* to, size_t room, int flags, void* self);

  wslay_frame_context* wslay_ = nullptr;
  Bytes input_;
  size_t held_ = 0;
  uint64_t frame_left_ = 0;  // payload of the frame begun, still to come
  bool in_frame_ = false;
};

}  // namespace sluice
