// worker/backpressure.h -- what a full channel, an empty house or a dead consumer means to a client:
// the only place where conditions of lower folders become statuses and close codes (house.md, 5).
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/result.h"
#include "worker/counters.h"

namespace sluice {

// Why a request or a WebSocket cannot be served.
enum class Trouble : uint8_t {
  kNoConsumer,    // held, and no reader came
  kUnread,        // a reader is there, and did not take it by the deadline
  kUnanswered,    // taken, and not answered by the deadline
  kTakerDied,
  kBadAnswer,     // malformed, oversized or torn
  kSlowClient,    // does not take what we send
  kTooManyConnections,
  kLeaving,       // the worker drains
};

struct Verdict {
  int status;              // of the answer, where no head went out yet
  std::string_view extra;  // header lines for it
  uint16_t close_code;     // of a WebSocket
  std::string_view why{};  // for the client to read; ours, no client bytes
};

[[nodiscard]] Verdict verdict_on(Trouble trouble) noexcept;
// On a send that failed. kReaderGone is for the caller to wait out: recovery follows.
[[nodiscard]] Verdict verdict_on(Error error) noexcept;
[[nodiscard]] Counter counter_of(Error error) noexcept;
// Worth trying again when a reader has taken something.
[[nodiscard]] constexpr bool passes(Error error) noexcept {
  return error == Error::kChannelFull || error == Error::kOutOfBlocks || error == Error::kReaderGone;
}

}  // namespace sluice
