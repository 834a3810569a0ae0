// worker/succession.cc -- see succession.h.
#include "worker/succession.h"

#include <algorithm>
#include <utility>

#include "protocol/limits.h"
#include "worker/log.h"
#include "worker/process.h"

namespace sluice {
namespace {

using shm::ProcessName;
using shm::ProcessState;

// The process a row names; empty when there is none such any more.
shm::Fd pidfd_of(const shm::ProcessRecord& record) noexcept {
  const auto pid = static_cast<pid_t>(record.pid.load(std::memory_order_acquire));  // [G] with let_go()
  const uint64_t started = record.start_time.load(std::memory_order_relaxed);  // written with pid
  if (pid <= 0) return {};
  shm::Fd pidfd = open_pidfd(pid);
  if (!pidfd) return {};
  const std::optional<uint64_t> now_there = start_time_of(pid);
  if (now_there && *now_there != started) return {};  // the number is another's by now
  return pidfd;
}

}  // namespace

void Succession::begin() noexcept {
  if (begun_) return;
  begun_ = true;
  uv_timer_init(&loop_, &again_);
  again_.data = this;
  for (uint32_t row = shm::kMasterRow; row < layer_.segment().geometry().processes; ++row) {
    const auto index = static_cast<shm::ProcessIndex>(row);
    if (index == layer_.me().index) continue;
    const ProcessState state = layer_.processes().state(index);
    // Dead ones too: recovery of them may have been under way.
    if (state == ProcessState::kLive || state == ProcessState::kDead) {
      watch({index, layer_.processes().incarnation(index)});
    }
  }
  recover();
}

void Succession::watch(ProcessName name) noexcept {
  Watched& watched = *watched_.emplace_back(std::make_unique<Watched>());
  watched.succession = this;
  watched.name = name;
  watched.pidfd = pidfd_of(*layer_.segment().process(name.index));
  watched.poll.data = &watched;
  watched.dead = !watched.pidfd ||
                 uv_poll_init(&loop_, &watched.poll, watched.pidfd.get()) != 0 ||
                 uv_poll_start(&watched.poll, UV_READABLE, [](uv_poll_t* poll, int, int) {
                   auto& died = *static_cast<Watched*>(poll->data);
                   uv_poll_stop(poll);
                   died.succession->on_death(died);
                 }) != 0;
}

void Succession::on_death(Watched& watched) noexcept {
  watched.dead = true;
  recover();
}

void Succession::look() noexcept {
  if (!begun_) return;
  bool any = false;
  for (const auto& watched : watched_) {
    const shm::ProcessRecord& record = *layer_.segment().process(watched->name.index);
    if (watched->dead || record.pid.load(std::memory_order_acquire) != 0) continue;  // [G]
    watched->dead = any = true;
  }
  if (any) recover();
}

bool Succession::lowest() const noexcept {
  return std::none_of(watched_.begin(), watched_.end(), [this](const auto& watched) {
    return !watched->dead && layer_.segment().is_worker(watched->name.index) &&
           watched->name.index < layer_.me().index;
  });
}

void Succession::recover() noexcept {
  if (!lowest()) return;
  for (const auto& watched : watched_) {
    if (!watched->dead || std::exchange(watched->recovered, true)) continue;
    log_event(LogLevel::kInfo, "recovering", {{"row", watched->name.index}});
    recovery_.on_death(watched->name);
    interval_ms_ = static_cast<uint64_t>(limits::kRecoveryInterval.count());
  }
  advance();
}

void Succession::advance() noexcept {
  static_cast<void>(recovery_.advance());  // nobody is given the rows that became free
  if (!recovery_.busy()) return;
  uv_timer_start(
      &again_, [](uv_timer_t* timer) { static_cast<Succession*>(timer->data)->advance(); },
      interval_ms_, 0);
  interval_ms_ = std::min<uint64_t>(interval_ms_ * 2,
                                    static_cast<uint64_t>(limits::kRecoveryIntervalMost.count()));
}

}  // namespace sluice
