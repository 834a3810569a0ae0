// tests/crash/steps/checkpoint.h -- a stopped process's registers and private memory, kept, and put
// back later: it then stands again where it stood, and has forgotten what it did since.
//
// What it maps, its descriptors and signals are not kept: it must not change them meanwhile, and a
// change of its mappings is found out.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice::tests {

class Checkpoint {
 public:
  // Of a process we trace, stopped; `stack` is where its stack ends: what lies beyond is nothing.
  Checkpoint(pid_t pid, uint64_t stack);
  void put_back() const;

 private:
  struct Piece {
    uint64_t address;
    std::vector<std::byte> bytes;
  };
  pid_t pid_;
  std::string mappings_;
  std::vector<std::byte> general_;  // registers
  std::vector<std::byte> vector_;   // the others
  std::vector<Piece> memory_;
};

}  // namespace sluice::tests
