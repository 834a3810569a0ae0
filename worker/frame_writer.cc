// worker/frame_writer.cc -- see frame_writer.h.
#include "worker/frame_writer.h"

namespace sluice {

size_t write_frame_header(Opcode opcode, bool deflated, size_t payload_bytes,
                          std::span<std::byte, kFrameHeaderBytes> out) noexcept {
  constexpr auto kFin = std::byte{0x80};
  constexpr auto kRsv1 = std::byte{0x40};
  out[0] = kFin | static_cast<std::byte>(opcode);
  if (deflated) out[0] |= kRsv1;
  size_t length_bytes = 0;
  if (payload_bytes < 126) {
    out[1] = static_cast<std::byte>(payload_bytes);
  } else if (payload_bytes < 65536) {
    out[1] = std::byte{126};
    length_bytes = 2;
  } else {
    out[1] = std::byte{127};
    length_bytes = 8;
  }
  for (size_t i = 0; i < length_bytes; ++i) {
    out[2 + i] = static_cast<std::byte>(uint64_t{payload_bytes} >> (8 * (length_bytes - 1 - i)));
  }
  return 2 + length_bytes;
}

}  // namespace sluice
