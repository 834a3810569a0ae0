// shm/drop_mode.h -- for tests of resilience: which messages are lost on purpose.
//
// A share of what consumers send on channels (and on inbox channels), and of clients' requests, is
// dropped after it was sent, as if its reader had died with it, and counted. Answers, body chunks,
// WebSocket messages and disconnects never are: what is in order stays whole. Off unless the gateway
// was told a share.
//
// Which ones is decided by the seed, the sender's row and how many it sent before, by nothing else:
// the same run loses the same messages again.
#pragma once

#include <cstdint>

#include "shm/layout.h"

namespace sluice::shm {

class DropMode {
 public:
  DropMode(const Header& header, ProcessIndex me) noexcept
      : threshold_(header.drop_share.load(std::memory_order::relaxed)),  // fixed before anybody attaches
        state_(header.drop_seed.load(std::memory_order::relaxed) + (uint64_t{me} << 48)) {}

  [[nodiscard]] bool on() const noexcept { return threshold_ != 0; }
  // Whether the next message is lost. Call once for each.
  [[nodiscard]] bool next() noexcept {
    if (threshold_ == 0) return false;
    state_ += 0x9e3779b97f4a7c15ull;  // splitmix64
    uint64_t mixed = state_;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
    return (mixed ^ mixed >> 31) >> 32 < threshold_;
  }
  // A share from 0 to 1 as it stands in the header: of 2^32, a message at least where it is not 0.
  [[nodiscard]] static constexpr uint64_t share_of(double share) noexcept {
    return static_cast<uint64_t>(share * 4294967296.0);
  }

 private:
  uint64_t threshold_;
  uint64_t state_;
};

}  // namespace sluice::shm
