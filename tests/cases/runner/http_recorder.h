// tests/cases/runner/http_recorder.h -- drives an HttpSession over bytes cut in many ways and
// writes down what it says, one line per event, so that two ways of cutting can be compared as
// text; beside it, what a worker would make of it: messages and answers (session_messages.h).
//
// R1  Pieces of one body are joined: only their bytes are told, not where they were cut.
// R2  Each piece fed is its own allocation of its own size, so that a sanitizer sees a read beyond.
// R3  An event that may not come (after a refusal, out of order), and a message that may not be, is
//     told as a line "broken: ...".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "worker/http_session.h"

namespace sluice::cases {

// How the bytes are cut. The pieces are: up to `split`, then the rest; or, where `step` is not 0,
// steps of that size. `pausing` pauses in every callback and goes on after feed() returned.
struct Cut {
  size_t split = 0;
  size_t step = 0;
  bool pausing = false;
};

struct Recorded {
  std::string events;                 // the last line tells where the session stands
  std::vector<std::string> messages;  // http.request, encoded
  std::vector<std::string> answers;   // of the gateway's own
  bool operator==(const Recorded&) const = default;
};

// What a session with these limits says of `bytes`; `switching` has it switch at a head that wants
// a WebSocket: its message is not made here.
[[nodiscard]] Recorded record(std::string_view bytes, const HttpLimits& limits, bool switching,
                              const Cut& cut);

// Visible ASCII as it is, the rest and '\' as \r \n \t \\ \xHH.
[[nodiscard]] std::string escape(std::string_view bytes);

}  // namespace sluice::cases
