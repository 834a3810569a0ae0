// shm/name_hash.h -- where in a table the probing for a name begins.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::shm {

// FNV-1a, 64 bits: names are short, and the tables are ours alone to fill.
[[nodiscard]] constexpr uint64_t hash_of_name(std::string_view name) noexcept {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  return hash;
}

}  // namespace sluice::shm
