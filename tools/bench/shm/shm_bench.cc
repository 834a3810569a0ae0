// tools/bench/shm/shm_bench.cc -- one sample of one figure of the channel layer or of a rival, for
// tools/bench/shm_table.py, which takes them in turn and makes the table.
//
//   shm_bench one_thread|pairs_1|pairs_2 layer|per_cell|robust|boost|socket [option…]
//   shm_bench hand_off line|layer_spin|futex|layer_futex|eventfd|layer_poll [option…]
//   shm_bench wake_ups MESSAGES_PER_SECOND [option…]      0: as many as go
//   shm_bench reclaim layer [option…]
//   shm_bench idle layer [option…]
//   options: --messages N --hand-offs N --blocks N --connections N
//
// Prints one line of key=value. Exit code 0: it ran, whatever the figures; 1: it did not; 2: usage.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <stdexcept>
#include <string_view>

#include "tools/bench/shm/measurements.h"

namespace {

using namespace sluice::bench;

uint64_t number(std::string_view text) {
  char* end = nullptr;
  const std::string copy(text);
  const uint64_t value = std::strtoull(copy.c_str(), &end, 10);
  if (copy.empty() || *end != '\0') throw std::invalid_argument("not a number: " + copy);
  return value;
}

Effort effort_of(std::span<char* const> words) {
  Effort effort;
  for (size_t i = 0; i < words.size(); i += 2) {
    const std::string_view option = words[i];
    if (i + 1 == words.size()) throw std::invalid_argument("a value is missing");
    const uint64_t value = number(words[i + 1]);
    if (value == 0) throw std::invalid_argument("a number of 1 or more");
    if (option == "--messages") {
      effort.messages = value;
    } else if (option == "--hand-offs") {
      effort.hand_offs = value;
    } else if (option == "--blocks") {
      effort.blocks = static_cast<uint32_t>(value);
    } else if (option == "--connections") {
      effort.connections = static_cast<uint32_t>(value);
    } else {
      throw std::invalid_argument("no option " + std::string(option));
    }
  }
  return effort;
}

Figures measure(std::string_view what, std::string_view how, const Effort& effort) {
  if (what == "one_thread") return one_thread(how, effort);
  if (what == "pairs_1") return processes(how, 1, effort);
  if (what == "pairs_2") return processes(how, 2, effort);
  if (what == "hand_off") return hand_off(how, effort);
  if (what == "wake_ups") return wake_ups(number(how), effort);
  if (what == "reclaim") return reclaim(effort);
  if (what == "idle") return idle_connections(effort);
  throw std::invalid_argument("no figure " + std::string(what));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr,
                 "usage: shm_bench FIGURE WHOSE [option value]…; see the source's first lines\n");
    return 2;
  }
  try {
    const std::span<char* const> words(argv + 3, static_cast<size_t>(argc - 3));
    for (const auto& [name, value] : measure(argv[1], argv[2], effort_of(words))) {
      std::printf("%s=%.4f ", name.c_str(), value);
    }
    std::printf("\n");
  } catch (const std::invalid_argument& e) {
    std::fprintf(stderr, "shm_bench: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "shm_bench: %s %s: %s\n", argv[1], argv[2], e.what());
    return 1;
  }
  return 0;
}
