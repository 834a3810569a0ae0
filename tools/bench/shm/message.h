// tools/bench/shm/message.h -- what is sent: 512 bytes, copied in by the sender and out by the reader
// whatever carries them, and a clock of patience for who finds no room or no message.
#pragma once

#include <sched.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::bench {

inline constexpr size_t kMessageBytes = 512;
inline constexpr uint32_t kCapacity = 1024;  // messages in every queue, ours and the rivals'

struct Message {
  uint64_t number = 0;
  std::array<uint64_t, kMessageBytes / sizeof(uint64_t) - 1> filling{};
};
static_assert(sizeof(Message) == kMessageBytes);

inline void pause() noexcept { __builtin_ia32_pause(); }

// Looking again: at once, and now and then after others had the processor, because with as many
// processes as CPUs the one waited for may not be running.
class Patience {
 public:
  void wait() noexcept {
    if (++looks_ % 64 == 0) {
      sched_yield();
    } else {
      pause();
    }
  }

 private:
  uint32_t looks_ = 0;
};

}  // namespace sluice::bench
