// tests/crash/steps/shared_image.h -- everything a world's processes share, copied and put back.
//
// The control segment whole; of each arena the blocks that were ever used; of each doorbell, whether
// a datagram waits. While a copy is taken or put back, every process of the world stands still.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <vector>

#include "tests/support/shm_world.h"

namespace sluice::tests {

class SharedImage {
 public:
  // `bells` are polling descriptors of doorbells. Takes the first image. The world outlives us.
  SharedImage(World& world, std::vector<int> bells);

  void take();
  void put_back();
  // Whether anything has changed since take().
  [[nodiscard]] bool differs() const;

 private:
  struct Piece {
    std::byte* start;
    std::vector<std::byte> bytes;
  };
  [[nodiscard]] std::byte* control() const;
  [[nodiscard]] std::vector<bool> bells_rung() const;

  World& world_;
  std::vector<int> bells_;
  std::vector<boost::interprocess::mapped_region> arenas_;
  std::vector<std::byte> control_;
  std::vector<Piece> payloads_;
  std::vector<bool> rung_;
};

}  // namespace sluice::tests
