// gateway/realms.cc -- see realms.h.
#include "gateway/realms.h"

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "protocol/limits.h"
#include "shm/clock.h"
#include "worker/log.h"

namespace sluice {
namespace {

constexpr BackOff::Rules kReplacing{limits::kReplaceShortLife, limits::kReplaceDelay,
                                    limits::kReplaceDelayMost};

}  // namespace

Realms::Realms(uv_loop_t& loop, const Options& options, const Listeners& listeners,
               const AccessLogFile& access_log, Events& events)
    : loop_(loop),
      options_(options),
      listeners_(listeners),
      access_log_(access_log),
      events_(events),
      current_(make_realm()),
      back_off_(kReplacing),
      replace_(loop, [this] { make_next(); }),
      bury_(loop, [this] { bury(); }) {
  current_->open(std::make_unique<ControlSocket>(options.control));
}

Realms::~Realms() = default;

std::unique_ptr<Realm> Realms::make_realm() {
  Realm::Events& events = *this;
  return std::make_unique<Realm>(loop_, options_, listeners_, access_log_, events);
}

template <class Visit>
void Realms::for_each(Visit visit) noexcept {
  visit(*current_);
  if (next_ != nullptr) visit(*next_);
  for (const auto& realm : left_) visit(*realm);
}

void Realms::show_access_log() noexcept {
  for_each([](Realm& realm) { realm.show_access_log(); });
}

// ---- replacing ----------------------------------------------------------------------------------

void Realms::on_damage(Realm& realm, const char* found) noexcept {
  if (&realm != current_.get() || leaving_ || std::exchange(damaged_, true)) return;
  const std::chrono::milliseconds lived(shm::now_ms() - realm.made_ms());
  const auto delay = back_off_.delay_after(lived);  // G4
  log_event(LogLevel::kError, "segment_corrupt",
            {{"found", found}, {"lived_ms", lived.count()}, {"replaced_in_ms", delay.count()}});
  replace_.start(delay);
}

void Realms::make_next() noexcept {
  if (leaving_ || next_ != nullptr) return;
  try {
    next_ = make_realm();
  } catch (const std::exception& error) {
    log_event(LogLevel::kError, "segment_not_replaced", {{"why", error.what()}});
    replace_.start(limits::kReplaceDelayMost);
    return;
  }
  next_->start();
}

void Realms::on_workers_ready(Realm& realm) noexcept {
  if (&realm == next_.get()) return change_over();
  if (&realm == current_.get()) events_.on_workers_ready();
}

void Realms::change_over() noexcept {
  left_.push_back(std::exchange(current_, std::exchange(next_, nullptr)));
  damaged_ = false;
  Realm& old = *left_.back();
  log_event(LogLevel::kInfo, "segment_replaced", {{"consumers", old.attached()}});
  std::unique_ptr<ControlSocket> socket = old.close();
  try {
    current_->open(std::move(socket));
  } catch (const std::exception& error) {  // no memory left to watch it with
    log_event(LogLevel::kError, "control_socket_lost", {{"why", error.what()}});
    events_.on_workers_failed();
    return;
  }
  old.drain(shm::AttachWord::kGiveUp);
  current_->look_for_damage();
}

// Its workers cannot start: the old ones serve on, and it is tried again.
void Realms::give_up_next(const char* why) noexcept {
  log_event(LogLevel::kError, "segment_not_replaced", {{"why", why}});
  left_.push_back(std::exchange(next_, nullptr));
  left_.back()->quit();
  replace_.start(limits::kReplaceDelayMost);
}

void Realms::on_workers_failed(Realm& realm) noexcept {
  if (&realm == next_.get()) return give_up_next("workers cannot start");
  if (&realm == current_.get()) events_.on_workers_failed();
}

void Realms::on_forked(Realm& realm) noexcept {
  for_each([&](Realm& other) {
    if (&other != &realm) other.memory().forget_all();
  });
  for (const auto& other : gone_) other->memory().forget_all();
}

void Realms::on_attached(Realm& realm) noexcept {
  if (&realm == current_.get()) events_.on_attached();
}

// ---- the end ------------------------------------------------------------------------------------

void Realms::on_workers_gone(Realm& realm) noexcept {
  const auto left = std::find_if(left_.begin(), left_.end(),
                                 [&](const auto& each) { return each.get() == &realm; });
  if (left != left_.end()) {
    gone_.splice(gone_.end(), left_, left);
    bury_.start(std::chrono::milliseconds(0));  // we are called from within it
  } else if (&realm == next_.get()) {
    gone_.push_back(std::exchange(next_, nullptr));
    bury_.start(std::chrono::milliseconds(0));
  } else {
    current_gone_ = true;
  }
  if (leaving_ && current_gone_ && next_ == nullptr && left_.empty()) events_.on_workers_gone();
}

void Realms::bury() noexcept {
  if (!leaving_ && !gone_.empty()) log_event(LogLevel::kInfo, "old_segment_gone");
  gone_.clear();
}

void Realms::leave(void (*how)(Realm&)) noexcept {
  leaving_ = true;
  replace_.stop();
  if (next_ != nullptr) left_.push_back(std::exchange(next_, nullptr));
  std::vector<Realm*> all;  // `how` may move them from one list to another
  for_each([&](Realm& realm) { all.push_back(&realm); });
  for (Realm* realm : all) how(*realm);
}

}  // namespace sluice
