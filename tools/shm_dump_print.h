// tools/shm_dump_print.h -- the two ways shm_dump prints a snapshot, and the words both use.
#pragma once

#include <string>
#include <string_view>

#include "shm/snapshot.h"

namespace sluice {

// Tables for people; a line each, the widest below 120 columns while names are short.
[[nodiscard]] std::string as_table(const shm::Snapshot& snapshot);
// One object on one line; README of shm says what its keys mean.
[[nodiscard]] std::string as_json(const shm::Snapshot& snapshot);

// The words for numbers of the layout; "unknown" for one that is none.
[[nodiscard]] std::string_view word_for_state(uint32_t process_state) noexcept;
[[nodiscard]] std::string_view word_for_role(uint32_t role) noexcept;
[[nodiscard]] std::string_view word_for_channel_state(uint32_t channel_state) noexcept;

}  // namespace sluice
