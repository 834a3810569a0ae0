// worker/process.h -- processes as the kernel knows them: who they are, and proof that they died.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "shm/fd.h"

namespace sluice {

// Readable once the process is dead (its memory is gone), and never before; names it for good, even
// when its number is used again. Empty when there is no such process.
[[nodiscard]] shm::Fd open_pidfd(pid_t pid) noexcept;
[[nodiscard]] bool has_died(int pidfd) noexcept;
void send_signal(int pidfd, int signal) noexcept;

// When a process started, in ticks since boot (field 22 of /proc/<pid>/stat); with the number it
// names a process. Nothing when it is gone.
[[nodiscard]] std::optional<uint64_t> start_time_of(pid_t pid) noexcept;
// The field in the text of a stat file; the name in it may hold anything, parentheses too.
[[nodiscard]] std::optional<uint64_t> parse_start_time(std::string_view stat) noexcept;

// Whether the process has this file (of fstat's st_dev and st_ino) mapped for writing. Nothing when
// we may not see that.
[[nodiscard]] std::optional<bool> writes_mapping(pid_t pid, dev_t device, ino_t inode) noexcept;

}  // namespace sluice
