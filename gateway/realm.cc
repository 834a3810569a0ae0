// gateway/realm.cc -- see realm.h.
#include "gateway/realm.h"

#include <algorithm>
#include <vector>

#include "gateway/geometry.h"
#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice {

using shm::ProcessName;

Realm::Realm(uv_loop_t& loop, const Options& options, const Listeners& listeners,
             const AccessLogFile& access_log, Events& events)
    : events_(events),
      made_ms_(shm::now_ms()),
      memory_(geometry_for(options)),
      recovery_(loop, [this] { advance_recovery(); }),
      farewells_(loop, memory_.layer()),
      control_(loop, memory_, *this, options.max_consumers),
      workers_(loop, memory_, listeners, access_log, options, *this) {
  shm::Header& header = memory_.segment().header();  // nobody is attached yet
  header.drop_seed.store(options.drop_seed, std::memory_order_relaxed);
  header.drop_share.store(shm::DropMode::share_of(options.drop_share), std::memory_order_relaxed);
  // The first option counts, and the last rule made comes first. Before anybody opens a channel.
  for (auto option = options.channels.rbegin(); option != options.channels.rend(); ++option) {
    const auto set = memory_.layer().channels().rules().set(option->glob, option->limits);
    CHECK(set.ok());  // the options were checked, and the geometry made for them
  }
}

void Realm::attach_no_more() noexcept {
  control_.refuse_new();
  memory_.segment().header().draining.store(1, std::memory_order_release);  // told to who looks
}

void Realm::drain(shm::AttachWord how) noexcept {
  attach_no_more();
  workers_.drain(how);
}

void Realm::quit() noexcept {
  attach_no_more();
  workers_.quit();
}

void Realm::look_for_damage() noexcept {
  if (const char* found = memory_.segment().damage(); found != nullptr) {
    events_.on_damage(*this, found);
  }
}

void Realm::on_worker_dead(ProcessName worker) noexcept {
  const std::vector<shm::OwedDisconnect> owed =
      memory_.recovery().owed_by(worker);  // before its slots are closed
  recover(worker);
  if (!owed.empty()) farewells_.add(owed);
}

// What the master had mapped of others' payloads is no business of a worker, and would stay in use
// for as long as it lives.
void Realm::on_forked() noexcept {
  memory_.forget_payloads();
  events_.on_forked(*this);
}

void Realm::recover(ProcessName dead) noexcept {
  memory_.recovery().on_death(dead);
  recovery_interval_ = limits::kRecoveryInterval;
  advance_recovery();
  look_for_damage();
}

void Realm::advance_recovery() noexcept {
  for (const ProcessName& freed : memory_.advance()) workers_.arena_gone(freed);
  const std::vector<shm::BlockIndex> unread = memory_.recovery().unread_of_ours();
  if (!unread.empty()) farewells_.take_back(unread);
  if (!memory_.recovery().busy()) return recovery_.stop();
  recovery_.start(recovery_interval_);
  recovery_interval_ =
      std::min<std::chrono::milliseconds>(recovery_interval_ * 2, limits::kRecoveryIntervalMost);
}

}  // namespace sluice
