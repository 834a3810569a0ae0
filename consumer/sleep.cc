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

constexpr uint64_t kQuickNs = std::chrono::nanoseconds(limits::kQuickMessage).count();
constexpr uint64_t kLightSleepNs = std::chrono::nanoseconds(limits::kBoundedSleep).count();
constexpr uint64_t kRingDelayNs = std::chrono::nanoseconds(limits::kRingDelay).count();
constexpr uint32_t kLooksPerControl = 1024;  // for those who never sleep here
constexpr uint32_t kReceivesPerClock = 8;  // quick messages: all of them within half of kRingDelay

}  // namespace

Result<Message> Attachment::receive(uint64_t deadline_ns) noexcept {
  if (armed_) disarm();
  if (unrung_ && ++receives_since_ % kReceivesPerClock == 0 &&
      shm::now_ns() - unrung_since_ns_ > kRingDelayNs) {
    ring();
  }
  for (;;) {
    Result<Message> message = take();
    if (message.ok()) return message;
    ring();  // Z2
    if (watch_control_ || ++silent_looks_ % kLooksPerControl == 0) look_at_control();
    if (gateway_gone_) return Error::kDetached;
    if (deadline_ns == 0 || !sleep(deadline_ns)) return Error::kTimedOut;
  }
}

// One sleep. False: the deadline is past, or interrupt() was called.
bool Attachment::sleep(uint64_t deadline_ns) noexcept {
  const uint64_t now = shm::now_ns();
  if (now >= deadline_ns) return false;
  fell_asleep(now);
  const bool deep = now - quiet_since_ns_ >= kLightSleepNs;
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
  just_woke_ = true;
  woke_ns_ = shm::now_ns();
  return !interrupted;
}

// What a message took since we woke, on average over the last bursts.
void Attachment::fell_asleep(uint64_t now) noexcept {
  const uint64_t handled = received_ - received_when_woken_;
  if (handled == 0) return;
  received_when_woken_ = received_;
  quiet_since_ns_ = now;
  if (woke_ns_ == 0) return;  // we never slept: the time since then says nothing
  // One slow message outweighs quick ones for a few bursts only.
  average_ns_ = (3 * average_ns_ + std::min((now - woke_ns_) / handled, 8 * kQuickNs)) / 4;
}

// The first message after a sleep is in hand: others may be behind it.
void Attachment::woke_up() noexcept {
  just_woke_ = false;
  received_when_woken_ = received_ - 1;
  if (!layer_.anything_waiting()) return;
  if (average_ns_ <= kQuickNs && woke_ns_ - passed_on_ns_ < kLightSleepNs) return;
  passed_on_ns_ = woke_ns_;
  layer_.pass_on();
}

bool Attachment::arm() noexcept {
  ring();  // Z2
  fell_asleep(shm::now_ns());
  layer_.wait_on_channels();
  doorbell_.fall_asleep_in_poll();
  armed_ = true;
  if (!layer_.anything_waiting()) return true;  // Z1
  disarm();
  return false;
}

void Attachment::disarm() noexcept {
  armed_ = false;
  doorbell_.wake_up();
  layer_.stop_waiting();
  just_woke_ = true;
  watch_control_ = true;
  woke_ns_ = shm::now_ns();
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
