// consumer/room_wait.h -- a send that waits for room, at most as long as its caller allows.
//
//   RoomWait room(attachment, wait);
//   while (!(sent = try_to_send()).ok() && room.next(sent.error(), queue)) {}
//
// Makes no system call and reads no clock unless a send was refused for want of room. From then on
// the process says it is asleep, before each try: a ring that comes between the try and the sleep
// ends it at once.
#pragma once

#include <chrono>

#include "protocol/result.h"
#include "shm/layout.h"

namespace sluice {

class Attachment;

// Owner     a call of Attachment, on its stack.   Borrows   the attachment.   Thread   its own.
class RoomWait {
 public:
  // `wait` 0 or less: next() never waits.
  RoomWait(Attachment& attachment, std::chrono::nanoseconds wait) noexcept
      : attachment_(attachment), wait_(wait) {}
  RoomWait(const RoomWait&) = delete;
  RoomWait& operator=(const RoomWait&) = delete;
  ~RoomWait();
  // A send was refused for `missing`. True: try again. False: the time is over, or room is not what
  // was missing. `queue`: who waits for room in what was full; null where nobody rings for it, or
  // where the refused send itself said that we wait (a reply ring).
  [[nodiscard]] bool next(Error missing, shm::WaitingSenders* queue) noexcept;

 private:
  Attachment& attachment_;
  std::chrono::nanoseconds wait_;
  uint64_t deadline_ns_ = 0;               // 0: not waiting yet
  shm::WaitingSenders* queue_ = nullptr;  // where we said that we wait
};

}  // namespace sluice
