// consumer/address_hash.h -- what is kept per exchange or connection, by its reply address.
#pragma once

#include <cstddef>
#include <cstdint>

#include "protocol/channel_name.h"

namespace sluice {

struct AddressHash {
  [[nodiscard]] size_t operator()(const ReplyAddress& address) const noexcept {
    const uint64_t where = uint64_t{address.slot} << 32 | address.ordinal;
    const uint64_t which =
        uint64_t{address.generation} << 32 | address.incarnation << 10 | address.worker;
    return (where ^ which * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu >> 16;
  }
};

}  // namespace sluice
