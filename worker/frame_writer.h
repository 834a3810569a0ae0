// worker/frame_writer.h -- what stands before the payload of a frame we send (RFC 6455 section 5.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

enum class Opcode : uint8_t {
  kContinuation = 0x0,
  kText = 0x1,
  kBinary = 0x2,
  kClose = 0x8,
  kPing = 0x9,
  kPong = 0xa,
};

inline constexpr size_t kFrameHeaderBytes = 10;  // the longest without a mask

// Of a whole message or control frame, not masked; `deflated` sets RSV1 (RFC 7692 section 6). Gives the
// size, 2 to 10.
[[nodiscard]] size_t write_frame_header(Opcode opcode, bool deflated, size_t payload_bytes,
                                        std::span<std::byte, kFrameHeaderBytes> out) noexcept;

}  // namespace sluice
