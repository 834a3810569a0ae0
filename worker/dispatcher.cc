// worker/dispatcher.cc -- see dispatcher.h.
#include "worker/dispatcher.h"

#include "protocol/limits.h"
#include "worker/leftovers.h"

namespace sluice {

uint64_t Dispatcher::deaths() const noexcept {
  // Pairs with recovery's release: who is dead by this count is marked so in the process table.
  return place_.layer.segment().header().deaths.load(std::memory_order_acquire);
}

bool Dispatcher::anything_waiting() const noexcept {
  return place_.slots.any_ready() || (sealed_ && place_.layer.anything_waiting()) || groups_.busy() ||
         list_.busy() || deaths() != seen_deaths_;
}

void Dispatcher::drain() noexcept {
  place_.layer.arenas().forget_replaced();
  look_at_deaths();
  if (place_.stuck_consumers.news()) {
    connections_.for_each([](Connection& connection) {
      const Connection::Turn turn(connection);
      connection.conversation().on_stuck();
    });
  }
  if (sealed_) drain_inbox();
  drain_replies();
}

void Dispatcher::look_at_deaths() noexcept {
  const uint64_t now = deaths();
  if (now == seen_deaths_) return tell_seen();
  place_.slots.repair_count();
  connections_.for_each([&](Connection& connection) {
    const Connection::Turn turn(connection);
    // D3: whoever died may have scribbled.
    if (!connection.check_slot()) return;
    connection.conversation().on_deaths(now);
  });
  place_.departures.on_deaths(now);
  seen_deaths_ = now;
  tell_seen();
}

// D2. Written again where somebody scribbled over it: recovery waits for it.
void Dispatcher::tell_seen() noexcept {
  std::atomic<uint64_t>& seen =
      place_.layer.segment().process(place_.layer.me().index)->seen_deaths;
  if (seen.load(std::memory_order_relaxed) == seen_deaths_) return;
  seen.store(seen_deaths_, std::memory_order_release);  // pairs with recovery's acquire
}

void Dispatcher::drain_inbox() noexcept {
  groups_.begin_turn();
  list_.begin_turn();
  for (uint32_t i = 0; i < limits::kInboxPerTurn && !groups_.busy() && !list_.busy(); ++i) {
    std::optional<shm::Delivery> delivery = place_.layer.try_receive();
    if (!delivery) return;
    if (delivery->returned() != shm::Returned::kNo) {
      hand_back(*delivery);
    } else if (!groups_.take(*delivery) && !list_.take(*delivery)) {
      place_.counters.add(Counter::kMisaddressed);
    }
  }
}

void Dispatcher::hand_back(shm::Delivery& returned) noexcept {
  Connection* connection = connections_.find(returned.about());
  if (connection == nullptr || connection->ending()) {
    take_leave(returned);
    return;
  }
  // What the dead published before it died counts first: its answer may be whole.
  drain_slot(connection->slot());
  connection = connections_.find(returned.about());
  if (connection == nullptr || connection->ending()) {
    take_leave(returned);
    return;
  }
  const Connection::Turn turn(*connection);
  connection->conversation().on_returned(returned);
}

// Of a connection that is gone: what nobody claims and nobody has to be told is dropped.
void Dispatcher::take_leave(shm::Delivery& returned) noexcept {
  if (place_.departures.take_back(returned) || !Leftovers::takes(place_, returned)) return;
  place_.departures.add(std::make_unique<Leftovers>(place_, returned));
}

void Dispatcher::drain_replies() noexcept {
  for (uint32_t i = 0; i < limits::kConnectionsPerTurn; ++i) {
    const std::optional<uint32_t> slot = place_.slots.next_ready();
    if (!slot) return;
    drain_slot(*slot);
  }
}

void Dispatcher::drain_slot(uint32_t slot) noexcept {
  Connection* connection = connections_.find(slot);
  if (connection == nullptr || connection->ending()) {
    // A connection on its way out, or only its last messages: nobody reads replies any more.
    if (!place_.drop_replies(slot)) place_.slots.set_ready(slot);
    return;
  }
  const Connection::Turn turn(*connection);
  connection->conversation().on_ready();
  for (uint32_t i = 0; i < limits::kRepliesPerRound; ++i) {
    if (connections_.find(slot) != connection) return;  // gone meanwhile, its ring is not ours to read
    const std::optional<shm::Delivery> reply = place_.layer.try_receive_reply(slot);
    if (!reply) {
      connection->invite_sender();
      if (place_.slots.ring_broken(slot)) connection->cut();  // no answer will ever come through it
      return;
    }
    if (connection->ending()) {
      place_.counters.add(Counter::kLateAnswers);
    } else {
      connection->conversation().on_reply(*reply);
      if (!reply->intact()) {  // D4
        place_.counters.add(Counter::kTornAnswers);
        connection->cut();
      }
    }
  }
  connection->invite_sender();
  place_.slots.set_ready(slot);  // perhaps more: after the others
}

}  // namespace sluice
