// tests/model/sleeper.h -- a writer that rings and a reader that sleeps, as ChannelLayer and
// consumer/sleep.cc do it, with the belt off: no sleep has a bound.
#pragma once

#include "shm/doorbell_word.h"
#include "tests/model/weak_queues.h"

namespace sluice::weak {

// The reader's doorbell: its word; a datagram that lies unread; somebody who waits on the futex.
inline constexpr uint32_t kDoorbell = kMoreWords;
inline constexpr uint32_t kDatagram = kMoreWords + 1;
inline constexpr uint32_t kFutex = kMoreWords + 2;

// What the kernel does, under a lock of its own: so each is one read-modify-write.
inline Atomic<uint32_t> doorbell(kDoorbell), datagram(kDatagram), futex(kFutex);

struct Calls {
  bool write() noexcept {
    datagram.exchange(1, std::memory_order::acq_rel);
    return true;
  }
  void wake() noexcept { futex.exchange(0, std::memory_order::acq_rel); }
};

using Word = shm::BasicDoorbellWord<Atomic<uint32_t>>;
constexpr uint8_t kRinging = 10, kSleeping = 11;  // operations

inline void ring(Process& p) {
  p.operation(kRinging, 0, [] { return uint64_t{Word(doorbell).ring(Calls{})}; });
}
// Recovery's.
inline void ring_surely(Process& p) {
  p.operation(kRinging, 1, [] {
    Word(doorbell).ring_surely(Calls{});
    return uint64_t{0};
  });
}

inline bool send(Process& p, shm::BlockIndex block) {
  const bool sent = push(p, 0, block);
  ring(p);
  return sent;
}

inline void say_asleep(Process& p, uint32_t bit) {
  p.operation(kSleeping, 0, [&] {
    Word(doorbell).say_asleep(bit);
    return uint64_t{0};
  });
}

inline bool looks_empty(Process& p, uint32_t queue) {
  return p.operation(kSleeping, 3, [&] { return uint64_t{queue_at(queue).empty()}; });
}

// `anything`: what the look after saying asleep has found.
inline void sleep_in_poll(Process& p, bool anything) {
  p.operation(kSleeping, 1, [&] {
    if (!anything) p.wait_until_not(kDatagram, 0);
    if (Word(doorbell).wake_from_poll() || !anything)
      datagram.exchange(0, std::memory_order::acq_rel);
    return uint64_t{0};
  });
}

inline void sleep_in_futex(Process& p, bool anything) {
  p.operation(kSleeping, 2, [&] {
    if (anything) {
      Word(doorbell).wake_from_futex();
      return uint64_t{0};
    }
    Word(doorbell).sleep_in_futex([&](uint32_t seen) {
      futex.exchange(1, std::memory_order::acq_rel);  // in the kernel's list of who waits
      if (doorbell.load(std::memory_order::relaxed) == seen) {
        p.wait_until_not(kFutex, 1);
      } else {
        futex.exchange(0, std::memory_order::acq_rel);
      }
    });
    return uint64_t{0};
  });
}

// Takes `messages` messages, and sleeps in between.
template <uint32_t kBit>
void receive(Process& p, uint32_t messages) {
  while (messages > 0) {
    if (pop(p, 0) != shm::kNoBlock) {
      --messages;
      continue;
    }
    say_asleep(p, kBit);
    const bool anything = !looks_empty(p, 0);
    kBit == shm::kAsleepInPoll ? sleep_in_poll(p, anything) : sleep_in_futex(p, anything);
  }
}

}  // namespace sluice::weak
