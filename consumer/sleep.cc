// consumer/sleep.cc -- how an attachment waits for messages: the sleeping half of attachment.h.
//
// Z1  Whoever says it sleeps looks at the queues again before it does; who publishes rings whom it
//     finds asleep. So no message waits for a sleeper (shm/doorbell.h).
// Z2  Nothing is left unrung when we sleep.
#include <poll.h>

#include <algorithm>

#include "consumer/attachment.h"
#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice {
namespace {

constexpr uint64_t kLightSleepNs = std::chrono::nanoseconds(limits::kBoundedSleep).count();
constexpr uint32_t kLooksPerControl = 1024;  // for those who never sleep here

}  // namespace

Result<Message> Attachment::receive(uint64_t deadline_ns) noexcept {
  if (armed_) disarm();
  if (pace_.counts_receive() && pace_.ring_is_due(shm::now_ns())) ring();
  while (!over_) {
    const bool gone = gateway_gone_;  // then take() finds all that will ever come
    Result<Message> message = take();
    if (message.ok()) return message;
    if (gone) break;
    ring();  // Z2
    if (watch_control_ || ++silent_looks_ % kLooksPerControl == 0) look_at_control();
    if (gateway_gone_) continue;
    if (deadline_ns == 0 || !sleep(deadline_ns)) return Error::kTimedOut;
  }
  return take_lost();
}

// One sleep. False: the deadline is past, or interrupt() was called.
bool Attachment::sleep(uint64_t deadline_ns) noexcept {
  const uint64_t now = shm::now_ns();
  if (now >= deadline_ns) return false;
  if (handles_ == 1) arenas_.forget_replaced();  // no Message is read
  pace_.falls_asleep(now, received_);
  const bool deep = pace_.quiet_for_long(now);
  layer_.wait_on_channels();
  if (deep) {
    doorbell_.fall_asleep_in_poll();
  } else {
    doorbell_.fall_asleep_in_futex();
  }
  const bool interrupted = interrupted_.exchange(false, std::memory_order::seq_cst);
  const bool anything = interrupted || layer_.anything_waiting();  // Z1
  if (!deep) {
    if (anything) {
      doorbell_.stay_awake();
    } else {
      ++sleeps_;
      doorbell_.sleep_in_futex(
          std::chrono::nanoseconds(std::min(deadline_ns - now, kLightSleepNs)));
    }
  } else if (anything) {
    doorbell_.wake_up();
  } else {
    ++sleeps_;
    pollfd fds[] = {{doorbell_.poll_fd(), POLLIN, 0}, {control_.get(), POLLIN, 0}};
    const uint64_t left = deadline_ns - now;
    const timespec timeout{.tv_sec = static_cast<time_t>(left / 1'000'000'000u),
                           .tv_nsec = static_cast<long>(left % 1'000'000'000u)};
    ::ppoll(fds, 2, deadline_ns == UINT64_MAX ? nullptr : &timeout, nullptr);
    doorbell_.wake_up((fds[0].revents & POLLIN) != 0);
    if (fds[1].revents != 0) look_at_control();
  }
  layer_.stop_waiting();
  pace_.wakes_up(shm::now_ns());
  return !interrupted;
}

// The first message after a sleep is in hand: others may be behind it.
void Attachment::pass_on() noexcept {
  if (layer_.anything_waiting() && pace_.passes_on()) layer_.pass_on();
}

bool Attachment::arm() noexcept {
  ring();  // Z2
  if (handles_ == 1) arenas_.forget_replaced();  // no Message is read
  pace_.falls_asleep(shm::now_ns(), received_);
  layer_.wait_on_channels();
  doorbell_.fall_asleep_in_poll();
  armed_ = true;
  if (kept_.empty() && !layer_.anything_waiting()) return true;  // Z1
  disarm();
  return false;
}

void Attachment::disarm() noexcept {
  armed_ = false;
  doorbell_.wake_up();
  layer_.stop_waiting();
  watch_control_ = true;
  pace_.wakes_up(shm::now_ns());
}

void Attachment::interrupt() noexcept {
  interrupted_.store(true,
                     std::memory_order::seq_cst);  // then the bit is looked at: Z1 the other way
  if (usable()) doorbell_.ring(layer_.me().index);
}

// The gateway says nothing unasked but that it is gone.
void Attachment::look_at_control() noexcept {
  watch_control_ = false;
  const auto packet = shm::receive_packet(control_.get(), 0);
  while (source_.take_order()) {
  }
  if (packet.ok() || packet.error() == Error::kTimedOut) {
    forget_dead_requests();
    return;
  }
  gateway_gone_ = true;
}

// Requests of workers that are gone are nobody's to answer: their blocks hold back the arena.
void Attachment::forget_dead_requests() noexcept {
  open_.erase_if([this](const OpenRequest& request) {
    if (request.in_message || shm::find_connection(segment_, request.address).ok()) return false;
    layer_.free_block(request.block);
    return true;
  });
}

}  // namespace sluice
