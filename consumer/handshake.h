// consumer/handshake.h -- the consumer's side of the words of shm/attach.h.
#pragma once

#include <string_view>

#include "protocol/result.h"
#include "shm/doorbell.h"
#include "shm/fd.h"
#include "shm/process_table.h"
#include "shm/segment.h"

namespace sluice {

// What the gateway's Welcome brings.
struct Welcome {
  shm::Fd control;  // the connected control socket; its hang-up is the gateway's end, or ours
  shm::Segment segment;
  shm::Fd arena;  // memfd of our own arena, to be mapped before finish_handshake()
  shm::DoorbellSockets doorbell;
  shm::ProcessName me;
  uint32_t number = 0;
};

// Connects, says Hello and takes the Welcome. kDetached: nobody listens there. kRefused, kTimedOut,
// kLayoutMismatch, kMessageMalformed.
[[nodiscard]] Result<Welcome> start_handshake(std::string_view control_socket) noexcept;
// Says Mapped, waits for Attached: from here on we may send and receive.
[[nodiscard]] Result<void> finish_handshake(int control) noexcept;

}  // namespace sluice
