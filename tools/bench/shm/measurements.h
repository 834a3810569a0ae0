// tools/bench/shm/measurements.h -- every figure the bench can take: one call, one sample.
//
// Each makes what it measures from nothing, so that samples know nothing of each other. They throw
// when something did not run or a message was lost; what is slow is no error.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace sluice::bench {

// By name; the names end in the unit, or are counts.
using Figures = std::map<std::string, double>;

struct Effort {
  uint64_t messages = 400'000;
  uint64_t hand_offs = 20'000;  // there and back
  uint32_t blocks = 65'536;     // of the whole segment, all in use
  uint32_t connections = 100'000;
};

// carrier: layer, per_cell, robust, boost, socket.
// One thread sends and takes a message: ns.
[[nodiscard]] Figures one_thread(std::string_view carrier, const Effort& effort);
// Senders in processes of their own to readers in processes of theirs: per_s.
[[nodiscard]] Figures processes(std::string_view carrier, uint32_t pairs, const Effort& effort);

// way: line (a bare cache line), layer_spin; futex (a raw one), layer_futex; eventfd, layer_poll.
// One way from one process to another on another CPU: ns.
[[nodiscard]] Figures hand_off(std::string_view way, const Effort& effort);

// Messages per second sent to one sleeping reader, 0 for as many as go: rings and sleeps a message.
[[nodiscard]] Figures wake_ups(uint64_t per_second, const Effort& effort);

// From the pidfd of a killed consumer becoming readable to everything reclaimed: us.
[[nodiscard]] Figures reclaim(const Effort& effort);

// Shared memory that open connections take: bytes.
[[nodiscard]] Figures idle_connections(const Effort& effort);

}  // namespace sluice::bench
