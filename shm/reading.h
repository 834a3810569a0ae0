// shm/reading.h -- a channel that a ChannelLayer reads.
#pragma once

#include <string>

#include "shm/channel_table.h"

namespace sluice::shm {

// Its name finds it again, should its record ever be given to another.
struct Reading {
  OpenChannel channel;
  ChannelRecord* record;
  OwnerQueue queue;
  std::string name;
  // It stays what it is as long as its record has its generation; our bit in `readers` sees to that.
  [[nodiscard]] bool still_there() const noexcept {
    return record->truth.load(std::memory_order::relaxed) >> 32 == channel.generation;
  }
};

}  // namespace sluice::shm
