// worker/group_messages.h -- what consumers ask of a worker about groups, on the logical channels
// group.add, group.discard, group.list, group.send and group.flush of its inbox.
//
// B1  A message to a group is copied out of shared memory once, as the one frame that every member
//     gets, and its payload let go of at once: slow members pin nothing. It is deflated at most once
//     for each form that members negotiated.
// B2  A turn serves so many members and bytes. What is unfinished goes on in the next turn, and holds
//     back the inbox behind it, not sockets or replies: so each member gets the messages in order, and
//     what was added before or discarded after counts as it was sent.
// B3  A member that reads slowly is skipped and counted, one that is closing is skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "worker/connection_table.h"
#include "worker/groups.h"
#include "worker/shared_frame.h"
#include "worker/workplace.h"

namespace sluice {

class GroupMessages {
 public:
  GroupMessages(Workplace& place, ConnectionTable& connections) noexcept
      : place_(place), connections_(connections) {}

  // A new turn: goes on with what is unfinished.
  void begin_turn() noexcept;
  // B2: take nothing more from the inbox in this turn.
  [[nodiscard]] bool busy() const noexcept { return next_ < members_.size(); }
  // Not to be called while busy(). False: the message is not about groups.
  [[nodiscard]] bool take(const shm::Delivery& message) noexcept;

 private:
  enum class Work : uint8_t { kSend, kList };
  struct Asker {
    shm::ProcessName process;
    int64_t request = 0;
  };

  void add(const ReplyAddress& about, std::string_view group) noexcept;
  void begin_list(const shm::Delivery& question, const MessageView& fields) noexcept;
  void begin_send(const shm::Delivery& notice, std::string_view group) noexcept;
  [[nodiscard]] bool write_frame(Bytes message) noexcept;
  void go_on() noexcept;
  void send_to_next() noexcept;
  void answer_with_next() noexcept;

  Workplace& place_;
  ConnectionTable& connections_;
  Work work_ = Work::kSend;
  std::vector<Groups::Member> members_;  // of the group, when it was asked or sent to
  size_t next_ = 0;                      // in members_
  SharedFrame frame_;
  std::string group_;
  Asker asker_;
  size_t members_left_ = 0;  // of this turn
  size_t bytes_left_ = 0;
};

}  // namespace sluice
