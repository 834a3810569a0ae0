// gateway/exit_code.h -- what the exit codes of sluice mean; README.md has the table.
#pragma once

namespace sluice {

inline constexpr int kExitEnded = 0;   // as it was asked to
inline constexpr int kExitFailed = 1;  // something around us, now: a busy port, a missing right
inline constexpr int kExitDoNotRestart = 3;  // the options are wrong: it would fail again

}  // namespace sluice
