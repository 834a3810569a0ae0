// gateway/privileges.h -- what a process of ours may have: descriptors, signals, limits.
#pragma once

#include <csignal>
#include <span>

namespace sluice {

// The soft limit of open descriptors becomes the hard one. Call before the first fork.
void raise_descriptor_limit() noexcept;

// The signals the master takes as orders, blocked so that they come through a descriptor.
[[nodiscard]] sigset_t order_signals() noexcept;

// In a child that stays in this program: orders come from the master alone, so what a terminal or a
// supervisor sends to the whole group is ignored; SIGKILL remains.
void ignore_group_signals() noexcept;
// In a child that becomes another program: everything as it is by default.
void reset_signals() noexcept;

// Closes every descriptor but 0, 1, 2 and `keep`.
void close_all_but(std::span<const int> keep) noexcept;

}  // namespace sluice
