// tests/blackbox/scribbler.cc -- a process that attaches and writes what nobody may into the segment.
//
//   scribbler <control socket> magic|corrupt|geometry|channel [stay]
//
// Says `scribbled <device>:<inode of the segment>`; then it dies, or with `stay` waits until its stdin
// is closed.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "consumer/handshake.h"

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  auto welcome = sluice::start_handshake(argv[1]);
  if (!welcome.ok()) {
    const auto why = sluice::describe(welcome.error());
    std::printf("refused: %.*s\n", static_cast<int>(why.size()), why.data());
    return 1;
  }
  sluice::shm::Header& header = welcome->segment.header();
  const std::string_view what = argv[2];
  if (what == "magic") header.magic = 0;
  if (what == "corrupt") header.corrupt.store(1, std::memory_order::release);  // pairs with nobody's
  if (what == "channel") {  // each channel's queue: more waits in it than it has room for
    for (uint32_t channel = 0; channel < header.geometry.channels; ++channel) {
      welcome->segment.channel(channel)->ends.tail.fetch_add(1u << 20, std::memory_order::release);
    }
  }
  if (what == "geometry") header.geometry.inbox_cells *= 2;
  struct stat file {};
  if (::fstat(welcome->segment.memfd(), &file) != 0) return 1;
  std::printf("scribbled %lu\n", static_cast<unsigned long>(file.st_ino));
  std::fflush(stdout);
  char byte = 0;
  while (argc > 3 && ::read(0, &byte, 1) > 0) {
  }
  ::_exit(0);
}
