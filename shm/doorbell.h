// shm/doorbell.h -- telling a sleeping process that something waits for it.
//
// A process sleeps in poll (an event loop) or in a futex (a blocking reader); each has its bit in the
// process's doorbell word. Sleeper: set the bit, fence, look at the queues again, sleep, clear.
// Ringer, after it published: fence, look at the word; a set bit is rung once and cleared.
//
// D1  In poll: write first, then clear by compare-exchange: a ringer killed between mutes nobody.
// D2  Futex: clear first, then wake: a wake before the value changes is lost.
// D3  A ring never blocks: a datagram with MSG_DONTWAIT from the ringer's own socket. A full buffer
//     means the sleeper is readable already.
// D4  With the ready bitmap, this is the only place with sequentially consistent order.
// D5  The bits above the two count the sleeps, so a ringer slow to clear cannot clear the next one.
//
// A doorbell is an unconnected datagram socket with an abstract name made of the segment's instance
// and the process index, so no descriptor need be handed out for ringing. The master makes every
// socket, in its own network namespace, and hands it out. The word's protocol is in doorbell_word.h.
#pragma once

#include <chrono>

#include "shm/fd.h"
#include "shm/segment.h"

namespace sluice::shm {

// The sockets of one process. Throws std::system_error. For the master.
struct DoorbellSockets {
  Fd bell;    // bound: the sleeper polls it
  Fd ringer;  // unbound: for ringing others
};
[[nodiscard]] DoorbellSockets make_doorbell(uint64_t instance, ProcessIndex process);

class Doorbell {
 public:
  Doorbell(const Segment& segment, ProcessIndex me, DoorbellSockets sockets);

  // -- sleeping in an event loop: poll this descriptor for reading
  [[nodiscard]] int poll_fd() const noexcept { return sockets_.bell.get(); }
  // Says we are about to poll. After it, look at every queue again before sleeping.
  void fall_asleep_in_poll() noexcept;
  // Awake again: clears the bit. Reads the socket where something may have been written: when the
  // bit was cleared for us, or when poll found poll_fd() `readable`; else makes no system call. Who
  // cannot tell may leave `readable` out: every sixteenth call then looks all the same.
  void wake_up(bool readable = false) noexcept;

  // -- sleeping in a call
  void fall_asleep_in_futex() noexcept;
  // Sleeps until rung, a signal, or `timeout` is over; then clears the bit.
  void sleep_in_futex(std::chrono::nanoseconds timeout) noexcept;
  void stay_awake() noexcept;  // found something after all: clears the bit

  // -- ringing
  // Rings `process` if it is asleep; true if a system call was made. Call once after publishing.
  bool ring(ProcessIndex process) noexcept;
  // Rings both ways whatever the word says: a ringer may have cleared a futex sleeper's bit and died
  // (D2), a scribbler any bit. For recovery.
  void ring_surely(ProcessIndex process) noexcept;
  [[nodiscard]] uint64_t rings() const noexcept { return rings_; }

 private:
  struct Calls;
  // False: our own buffer is full of datagrams nobody has read.
  bool write_datagram(ProcessIndex process) noexcept;

  const Segment& segment_;
  HalfWord& word_;
  DoorbellSockets sockets_;
  uint32_t unread_wake_ups_ = 0;  // without a look at the socket
  uint64_t rings_ = 0;
};

}  // namespace sluice::shm
