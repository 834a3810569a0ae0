// worker/dispatcher.h -- drains what other processes sent to this worker: deaths, the inbox, and the
// reply rings whose slots are marked ready.
//
// D1  Bounded: a turn serves so many messages and connections, and each connection so many replies;
//     what is left keeps the loop from sleeping, so nobody waits for a bell.
// D2  A death is acted on before it is marked as seen, so recovery goes on only then (decisions.md 4).
// D3  After a death what the segment says of our connections is compared with what we know.
// D4  An answer whose sender was made to write another message over it while we read goes to nobody:
//     what a turn gathers is dropped with the connection. (A long piece may be out by then.)
#pragma once

#include "worker/connection.h"
#include "worker/connection_list.h"
#include "worker/connection_table.h"
#include "worker/group_messages.h"
#include "worker/workplace.h"

namespace sluice {

class Dispatcher {
 public:
  Dispatcher(Workplace& place, ConnectionTable& connections) noexcept
      : place_(place), connections_(connections), groups_(place, connections), list_(place, connections) {}

  // Our arena is sealed: who asks may have it, and read what we answer. Until then questions wait.
  void arena_is_sealed() noexcept { sealed_ = true; }
  void drain() noexcept;
  // Something drain() would find.
  [[nodiscard]] bool anything_waiting() const noexcept;

 private:
  void look_at_deaths() noexcept;
  void tell_seen() noexcept;
  void drain_inbox() noexcept;
  void drain_replies() noexcept;
  void drain_slot(uint32_t slot) noexcept;
  void hand_back(shm::Delivery& returned) noexcept;
  void take_leave(shm::Delivery& returned) noexcept;
  [[nodiscard]] uint64_t deaths() const noexcept;

  Workplace& place_;
  ConnectionTable& connections_;
  GroupMessages groups_;
  ConnectionList list_;
  uint64_t seen_deaths_ = 0;
  bool sealed_ = false;
};

}  // namespace sluice
