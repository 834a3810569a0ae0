// shm/doorbell_word.h -- the bits of a doorbell: who says what, and in which order, around the system
// calls that sleep and wake. What holds is numbered in doorbell.h.
//
// Atomic is std::atomic<uint32_t> here and a stepped stand-in in tests/model; the system calls are the
// caller's for the same reason.
#pragma once

#include <atomic>
#include <cstdint>

#include "shm/crash_point.h"
#include "shm/full_fence.h"
#include "shm/layout.h"

namespace sluice::shm {

template <class Atomic>
class BasicDoorbellWord {
 public:
  explicit BasicDoorbellWord(Atomic& word) noexcept : word_(word) {}

  // -- the sleeper, alone
  // Counts the sleep and says which. After it, look at every queue again before sleeping.
  void say_asleep(uint32_t bit) noexcept {
    uint32_t seen = word_.load(relaxed);  // the compare-exchange finds out
    while (!word_.compare_exchange_weak(seen, (seen + kOneSleep) | bit, seq_cst, relaxed)) {
    }
    full_fence(word_);  // [F] pairs with [F] in ring(): they see the bit, or we the block
  }
  // Awake again. True: somebody cleared the bit for us, so there is a datagram. A bit still there:
  // nobody wrote, or one is between writing and clearing (D1) or died there.
  bool wake_from_poll() noexcept {
    return (word_.fetch_and(~kAsleepInPoll, seq_cst) & kAsleepInPoll) == 0;
  }
  // `wait(seen)` sleeps while the word is `seen`; not called where a ringer has been here already.
  template <class Wait>
  void sleep_in_futex(Wait wait) noexcept {
    const uint32_t seen = word_.load(seq_cst);
    if ((seen & kAsleepInFutex) != 0) wait(seen);
    wake_from_futex();
  }
  void wake_from_futex() noexcept { word_.fetch_and(~kAsleepInFutex, seq_cst); }

  // -- anybody, after publishing. True: a system call was made.
  //   calls.write()  a datagram to the bell; false: it could not be, and the next ring is to try again
  //   calls.wake()   whoever waits on the word
  template <class Calls>
  bool ring(Calls calls) noexcept {
    full_fence(word_);  // [F] pairs with [F] in say_asleep()
    uint32_t seen = word_.load(seq_cst);
    bool rung = false;
    if ((seen & kAsleepInPoll) != 0) {
      write_and_clear(calls, seen);
      rung = true;
    }
    while ((seen & kAsleepInFutex) != 0) {
      if (!word_.compare_exchange_weak(seen, seen & ~kAsleepInFutex, seq_cst, seq_cst)) continue;
      CRASH_POINT(ring_futex_cleared);  // asleep with no bit: recovery wakes it, ring_surely()
      calls.wake();                     // D2
      rung = true;
      break;
    }
    return rung;
  }

  // Both ways, whatever the word says: a ringer may have died on its way, a scribbler cleared any bit.
  template <class Calls>
  void ring_surely(Calls calls) noexcept {
    write_and_clear(calls, word_.load(seq_cst));
    word_.fetch_and(~kAsleepInFutex, seq_cst);
    calls.wake();  // D2
  }

 private:
  template <class Calls>
  void write_and_clear(Calls& calls, uint32_t seen) noexcept {
    if (!calls.write()) return;  // D1
    CRASH_POINT(ring_written);   // the bit stands: the next ringer rings once more
    // Only the sleep that was seen: another fails on its count (D5).
    word_.compare_exchange_strong(seen, seen & ~kAsleepInPoll, seq_cst, relaxed);
  }

  using enum std::memory_order;
  static constexpr uint32_t kOneSleep = 4;  // D5: the count starts above the two bits

  Atomic& word_;
};

}  // namespace sluice::shm
