// worker/shared_frame.h -- one message for many WebSockets: its frames, each form of them made once.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "protocol/codec.h"

namespace sluice {

// Owner     whoever sends to a group; used again for the next message.
// Thread    one.
class SharedFrame {
 public:
  // A copy of `content`; text is valid UTF-8, or it is refused: false, and there is no message.
  [[nodiscard]] bool assign(Bytes content, bool binary);
  [[nodiscard]] bool binary() const noexcept { return binary_; }
  [[nodiscard]] Bytes content() const noexcept;
  // The frames below are good until the next assign().
  [[nodiscard]] Bytes plain() const noexcept { return plain_; }
  // Deflated without a context, for a window of so many bits (9 to 15), when it is first asked for; the
  // plain one where that does not help.
  [[nodiscard]] Bytes deflated(uint8_t window_bits);
  // What one large message made grow is let go of.
  void forget_large() noexcept;

 private:
  std::vector<std::byte> plain_;
  std::array<std::vector<std::byte>, 16> deflated_;  // by window bits; empty: not asked for yet
  size_t header_bytes_ = 0;
  bool binary_ = false;
};

}  // namespace sluice
