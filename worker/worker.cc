// worker/worker.cc -- the life of a worker: set up, turn by turn, leave.
//
// A turn of the loop:   poll: sockets are read, requests published
//                       check: awake; deaths, inbox, replies, retries; then one ring for all published
//                       timers: deadlines, retries
//                       prepare: ring, say that we sleep, look once more (shm/doorbell.h)
// W1  Between saying that we sleep and sleeping every queue is looked at again; what is found keeps poll
//     from blocking.
// W2  An idle worker makes no system call: a timer runs only while a deadline or a retry is set.
#include "worker/worker.h"

#include <sys/resource.h>
#include <uv.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "protocol/limits.h"
#include "shm/attach.h"
#include "worker/acceptor.h"
#include "worker/connection_table.h"
#include "worker/dispatcher.h"
#include "worker/log.h"
#include "worker/proxy_preface.h"
#include "worker/succession.h"
#include "worker/workplace.h"

namespace sluice {
namespace {

constexpr int kLeft = 0;
constexpr int kFailed = 1;

uint64_t ms(std::chrono::milliseconds time) noexcept { return static_cast<uint64_t>(time.count()); }

// Throws std::system_error. Made before the loop runs.
uint32_t open_channel(shm::ChannelLayer& layer, const char* name) {
  const Result<uint32_t> channel = layer.channels().open(name);
  if (!channel.ok()) throw std::system_error(ENOSPC, std::generic_category(), name);
  return *channel;
}

Channels open_channels(shm::ChannelLayer& layer) {
  return {.http_request = open_channel(layer, "http.request"),
          .http_request_body = open_channel(layer, "http.request.body"),
          .http_disconnect = open_channel(layer, "http.disconnect"),
          .websocket_connect = open_channel(layer, "websocket.connect"),
          .websocket_receive = open_channel(layer, "websocket.receive"),
          .websocket_disconnect = open_channel(layer, "websocket.disconnect"),
          .websocket_list = open_channel(layer, "websocket.list"),
          .group_add = open_channel(layer, "group.add"),
          .group_discard = open_channel(layer, "group.discard"),
          .group_list = open_channel(layer, "group.list"),
          .group_send = open_channel(layer, "group.send"),
          .group_flush = open_channel(layer, "group.flush")};
}

// What settings, slots and descriptors all allow.
uint32_t most_connections(const WorkerSettings& settings, const shm::Segment& segment) noexcept {
  uint64_t most = std::min(settings.max_connections, segment.geometry().connections_per_worker);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY) {
    const uint64_t kept = limits::kReservedDescriptors + limits::kRefusedAtDoor;
    most = std::min<uint64_t>(most, files.rlim_cur > kept ? files.rlim_cur - kept : 1);
  }
  return static_cast<uint32_t>(most);
}

shm::Arenas& map_own(shm::Arenas& arenas, int memfd) {
  arenas.map_own(memfd);
  return arenas;
}

class Worker {
 public:
  Worker(Inheritance& inheritance, uv_loop_t& loop);
  int run() noexcept;

 private:
  void watch();
  void before_sleep() noexcept;
  void after_sleep() noexcept;
  void look_at_the_clock() noexcept;
  void set_timers() noexcept;
  void on_master_packets() noexcept;
  void take_orders() noexcept;
  void accept_from_ours() noexcept;
  [[nodiscard]] bool has_broken_queue() noexcept;
  void look_for_damage() noexcept;
  void leave(const char* why, uint16_t close_code = close_code::kGoingAway) noexcept;
  void go_on_leaving() noexcept;
  void spread_ends() noexcept;
  [[nodiscard]] bool nothing_left() noexcept;
  [[nodiscard]] bool nobody_to_tell() noexcept;
  void stop_if_empty() noexcept;
  void quit() noexcept;
  void log_counters() const noexcept;

  Inheritance& inheritance_;
  uv_loop_t& loop_;
  shm::PushedArenas pushed_arenas_;
  shm::Arenas arenas_;
  shm::Doorbell doorbell_;
  shm::ChannelLayer layer_;
  shm::ConnectionSlots slots_;
  Workplace place_;
  std::optional<AccessLog> access_log_;
  ConnectionTable connections_;
  Dispatcher dispatcher_;
  Succession succession_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // by index in the inheritance

  uv_prepare_t prepare_{};
  uv_check_t check_{};
  uv_idle_t keep_awake_{};
  uv_timer_t deadline_timer_{};
  uv_timer_t retry_timer_{};
  uv_timer_t drain_timer_{};
  uv_poll_t bell_{};
  uv_poll_t master_{};
  uint64_t timer_at_ms_ = kNever;
  uint64_t retried_ms_ = 0;
  bool asleep_ = false;
  bool rung_ = false;         // poll found the bell readable
  bool master_gone_ = false;
  uint64_t signs_of_damage_ = 0;  // deaths and queues found broken, when we last looked at our queues
  bool damage_told_ = false;
  bool accepts_ = true;
  uint32_t last_polls_ = 2;   // with our listeners, once we leave
};

// ---- setting up ---------------------------------------------------------------------------------

Worker::Worker(Inheritance& inheritance, uv_loop_t& loop)
    : inheritance_(inheritance),
      loop_(loop),
      pushed_arenas_(inheritance.master_socket),
      arenas_(*inheritance.segment, inheritance.me.index, &pushed_arenas_),
      doorbell_(*inheritance.segment, inheritance.me.index, std::move(inheritance.doorbell)),
      layer_(*inheritance.segment, map_own(arenas_, inheritance.own_arena), doorbell_, inheritance.me),
      slots_(*inheritance.segment, inheritance.me),
      place_(inheritance.settings, loop, layer_, slots_, open_channels(layer_), uv_now(&loop)),
      connections_(place_, begin_conversation, most_connections(inheritance.settings, *inheritance.segment)),
      dispatcher_(place_, connections_),
      succession_(loop, layer_) {
  if (inheritance.access_log >= 0) {
    access_log_.emplace(shm::Fd(inheritance.access_log), inheritance.settings.access_log_json,
                        inheritance.number, place_.counters, place_.retries);
    place_.access_log = &*access_log_;
  }
  look_at_the_clock();
  watch();
  for (const InheritedListener& listener : inheritance.listeners) {
    acceptors_.push_back(std::make_unique<Acceptor>(place_, connections_, listener));
  }
}

void Worker::watch() {
  uv_prepare_init(&loop_, &prepare_);
  prepare_.data = this;
  uv_prepare_start(&prepare_, [](uv_prepare_t* handle) { static_cast<Worker*>(handle->data)->before_sleep(); });
  uv_check_init(&loop_, &check_);
  check_.data = this;
  uv_check_start(&check_, [](uv_check_t* handle) { static_cast<Worker*>(handle->data)->after_sleep(); });
  uv_idle_init(&loop_, &keep_awake_);
  uv_timer_init(&loop_, &deadline_timer_);
  deadline_timer_.data = this;
  uv_timer_init(&loop_, &retry_timer_);
  uv_timer_init(&loop_, &drain_timer_);
  const auto poll = [&](uv_poll_t& handle, int fd, uv_poll_cb callback) {
    handle.data = this;
    int result = uv_poll_init(&loop_, &handle, fd);
    if (result == 0) result = uv_poll_start(&handle, UV_READABLE, callback);
    if (result != 0) throw std::system_error(-result, std::generic_category(), "polling");
  };
  poll(bell_, doorbell_.poll_fd(),
       [](uv_poll_t* handle, int, int) { static_cast<Worker*>(handle->data)->rung_ = true; });
  poll(master_, inheritance_.master_socket,
       [](uv_poll_t* handle, int, int) { static_cast<Worker*>(handle->data)->on_master_packets(); });
}

int Worker::run() noexcept {
  shm::AttachPacket mapped{};
  mapped.word = shm::AttachWord::kMapped;
  mapped.process = inheritance_.me.index;
  mapped.incarnation = inheritance_.me.incarnation;
  if (!shm::send_packet(inheritance_.master_socket, mapped, {}).ok()) leave("master gone");
  uv_run(&loop_, UV_RUN_DEFAULT);
  if (access_log_) access_log_->finish(place_.now_ms);
  log_counters();
  return kLeft;
}

// ---- turns --------------------------------------------------------------------------------------

void Worker::look_at_the_clock() noexcept {
  place_.tell_time();
  inheritance_.segment->process(inheritance_.me.index)
      ->heartbeat_ms.store(place_.now_ms, std::memory_order_relaxed);  // statistics
}

void Worker::before_sleep() noexcept {
  place_.second_ring.ring(place_.now_ms);
  if (access_log_) access_log_->flush(place_.now_ms);
  set_timers();
  stop_if_empty();  // the last socket is closed at the end of a turn
  // A connection is gone only after libuv closed it, behind after_sleep(): the last one must not leave
  // us asleep.
  const bool leaving = place_.draining && (accepts_ || nothing_left());
  bool work = dispatcher_.anything_waiting() || leaving;
  if (!work) {
    doorbell_.fall_asleep_in_poll();
    asleep_ = true;
    work = dispatcher_.anything_waiting();  // W1
  }
  if (work) {
    uv_idle_start(&keep_awake_, [](uv_idle_t*) {});
  } else {
    uv_idle_stop(&keep_awake_);
  }
}

void Worker::after_sleep() noexcept {
  look_at_the_clock();
  const bool rung = rung_;
  if (asleep_ || rung) doorbell_.wake_up(rung);
  asleep_ = rung_ = false;
  dispatcher_.drain();
  const bool another_ms = place_.now_ms != retried_ms_;
  retried_ms_ = place_.now_ms;
  if (another_ms) place_.retries.run();  // not more often, however short the turns
  if (another_ms || rung) place_.uploads.run();
  take_orders();
  look_for_damage();
  succession_.look();
  if (place_.draining) go_on_leaving();
  place_.second_ring.ring(place_.now_ms);
}

void Worker::set_timers() noexcept {
  const uint64_t next = place_.deadlines.next_run_ms();
  if (next != timer_at_ms_) {
    timer_at_ms_ = next;
    if (next == kNever) {
      uv_timer_stop(&deadline_timer_);
    } else {
      const uint64_t now = uv_now(&loop_);
      uv_timer_start(
          &deadline_timer_,
          [](uv_timer_t* timer) {
            auto* worker = static_cast<Worker*>(timer->data);
            worker->timer_at_ms_ = kNever;
            worker->look_at_the_clock();
            worker->place_.deadlines.run(worker->place_.now_ms);
          },
          next > now ? next - now : 0, 0);
    }
  }
  // after_sleep() tries what waits; the timer only ends the sleep.
  if (place_.retries.empty() && place_.uploads.empty()) {
    uv_timer_stop(&retry_timer_);
  } else if (uv_is_active(reinterpret_cast<uv_handle_t*>(&retry_timer_)) == 0) {
    uv_timer_start(&retry_timer_, [](uv_timer_t*) {}, ms(limits::kRetryInterval), 0);
  }
}

// ---- the master's words -------------------------------------------------------------------------

void Worker::on_master_packets() noexcept {
  if (!pushed_arenas_.drain().ok() && !master_gone_) {
    master_gone_ = true;
    uv_poll_stop(&master_);
    take_orders();
    leave("master gone");
    succession_.begin();
    return;
  }
  take_orders();
}

void Worker::take_orders() noexcept {
  while (std::optional<shm::Received> order = pushed_arenas_.take_order()) {
    const shm::AttachPacket& packet = order->packet;
    const bool listener = packet.number < acceptors_.size();
    switch (packet.word) {
      case shm::AttachWord::kArenaGone:
        arenas_.retire({static_cast<shm::ProcessIndex>(packet.process), packet.incarnation});
        break;
      case shm::AttachWord::kAttached:
        dispatcher_.arena_is_sealed();
        accept_from_ours();
        break;
      case shm::AttachWord::kDrain: leave("told to"); break;
      case shm::AttachWord::kMakeRoom: leave("replaced", close_code::kServiceRestart); break;
      case shm::AttachWord::kGiveUp:
        place_.given_up = true;
        leave("segment given up", close_code::kServiceRestart);
        break;
      case shm::AttachWord::kQuit: quit(); break;
      case shm::AttachWord::kAcceptFrom:
        if (listener && accepts_ && !place_.draining) acceptors_[packet.number]->start();
        break;
      case shm::AttachWord::kStopAcceptFrom:
        if (listener) acceptors_[packet.number]->stop();
        break;
      case shm::AttachWord::kAccessLog:
        if (access_log_ && order->fds.size() == 1) access_log_->reopen(std::move(order->fds.front()));
        break;
      default: log_event(LogLevel::kWarning, "unknown_order", {{"word", static_cast<uint32_t>(packet.word)}});
    }
  }
}

// Not before the master said that our arena is sealed: a consumer that asks for it earlier is given none,
// and could not read what we send.
void Worker::accept_from_ours() noexcept {
  if (!accepts_ || place_.draining) return;
  for (size_t i = 0; i < acceptors_.size(); ++i) {
    if (!inheritance_.listeners[i].mine || acceptors_[i]->start()) continue;
    log_event(LogLevel::kError, "listener_not_polled", {{"listener", i}});
    leave("cannot accept");
  }
}

// ---- leaving ------------------------------------------------------------------------------------

// A queue all clients of ours depend on. A look at each cell, so only when there is a reason to.
bool Worker::has_broken_queue() noexcept {
  const uint64_t signs = inheritance_.segment->header().deaths.load(std::memory_order_relaxed) +
                         layer_.broken_queues();  // a hint: the queues themselves are looked at
  if (std::exchange(signs_of_damage_, signs) == signs) return false;
  return !layer_.own_queues_sound() || !place_.channels.sound(layer_);
}

// decisions.md 13: beyond repair. The master makes another segment and tells us to drain; until then
// we serve as well as we can. Without a master nobody makes one: we end what can be ended.
void Worker::look_for_damage() noexcept {
  if (damage_told_) return;
  if (has_broken_queue()) {
    inheritance_.segment->header().corrupt.store(1, std::memory_order_relaxed);  // acted on alone
  }
  const char* const found = inheritance_.segment->damage();
  if (found == nullptr) return;
  if (master_gone_) return leave("segment corrupt", close_code::kServiceRestart);
  shm::AttachPacket damaged{};
  damaged.word = shm::AttachWord::kDamaged;
  damage_told_ = shm::send_packet(inheritance_.master_socket, damaged, {}).ok();  // else: next turn
}

void Worker::leave(const char* why, uint16_t close_code) noexcept {
  if (place_.draining) return;
  place_.draining = true;
  place_.leaving_code = close_code;
  place_.drain_until_ms = place_.now_ms + ms(inheritance_.settings.drain_timeout);
  log_event(LogLevel::kInfo, "worker_leaving", {{"why", why}, {"connections", connections_.size()}});
}

void Worker::go_on_leaving() noexcept {
  if (accepts_) {
    if (--last_polls_ > 0) return;  // a poll more: what waits at our sockets is accepted
    accepts_ = false;
    for (const auto& acceptor : acceptors_) acceptor->stop();
    // The inherited descriptors too: while we hold one the port stays busy, and clients wait in vain.
    for (InheritedListener& listener : inheritance_.listeners) ::close(std::exchange(listener.fd, -1));
    spread_ends();
    // So that the loop wakes for the end of the drain time, whatever else it waits for.
    uv_timer_start(&drain_timer_, [](uv_timer_t*) {}, ms(inheritance_.settings.drain_timeout), 0);
  }
  if (place_.now_ms >= place_.drain_until_ms) return quit();
  stop_if_empty();
}

// What lasts is not ended at once, so that clients do not all come back in one moment. The last fifth of
// the drain time is for closing handshakes.
void Worker::spread_ends() noexcept {
  uint64_t lasting = 0;
  connections_.for_each([&](Connection& connection) {
    if (!connection.ending() && connection.conversation().lasts()) ++lasting;
  });
  const uint64_t spread = std::min(lasting * ms(limits::kLeavingPace),
                                   ms(inheritance_.settings.drain_timeout) / 5 * 4);
  uint64_t nth = 0;
  connections_.for_each([&](Connection& connection) {
    if (connection.ending()) return;
    const bool lasts = connection.conversation().lasts();
    const Connection::Turn turn(connection);
    connection.conversation().leave(lasts ? place_.now_ms + nth++ * spread / lasting : place_.now_ms);
  });
}

bool Worker::nothing_left() noexcept {
  return connections_.size() == 0 && (place_.given_up || place_.departures.empty() || nobody_to_tell());
}

// What is owed to consumers waits for one to come, unless none can any more.
bool Worker::nobody_to_tell() noexcept {
  const shm::Segment& segment = *inheritance_.segment;
  if (segment.header().draining.load(std::memory_order_acquire) == 0) return false;  // pairs with Realm
  for (uint32_t row = 2 + segment.geometry().worker_processes; row < segment.geometry().processes; ++row) {
    if (layer_.processes().living(static_cast<shm::ProcessIndex>(row))) return false;
  }
  return true;
}

void Worker::stop_if_empty() noexcept {
  if (!accepts_ && nothing_left()) uv_stop(&loop_);
}

void Worker::quit() noexcept {
  for (const auto& acceptor : acceptors_) acceptor->stop();
  connections_.for_each([](Connection& connection) { connection.cut(); });
  layer_.ring();
  uv_stop(&loop_);
}

void Worker::log_counters() const noexcept {
  for (const CounterRow& row : kCounterTable) {
    if (const uint64_t count = place_.counters[row.counter]; count > 0) {
      log_event(LogLevel::kInfo, "counted", {{row.name, count}});
    }
  }
}

}  // namespace

int run_worker(Inheritance inheritance) {
  std::signal(SIGPIPE, SIG_IGN);  // a client that is gone is an error of write()
  std::signal(SIGXFSZ, SIG_IGN);  // so is a log as large as it may be
  uv_loop_t loop;
  if (const int result = uv_loop_init(&loop); result != 0) {
    log_event(LogLevel::kError, "worker_not_started", {{"why", uv_strerror(result)}});
    return kFailed;
  }
  try {
    // Never destroyed: libuv's handles point into it, and the process ends here.
    auto* worker = new Worker(inheritance, loop);
    return worker->run();
  } catch (const std::exception& error) {
    log_event(LogLevel::kError, "worker_not_started", {{"why", error.what()}});
    return kFailed;
  }
}

}  // namespace sluice
