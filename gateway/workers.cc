// gateway/workers.cc -- see workers.h.
#include "gateway/workers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "gateway/privileges.h"
#include "worker/process.h"
#include "gateway/process_title.h"
#include "protocol/limits.h"
#include "shm/clock.h"
#include "worker/log.h"

namespace sluice {

using shm::AttachPacket;
using shm::AttachWord;
using shm::Fd;
using shm::ProcessName;
using std::chrono::milliseconds;

namespace {

AttachPacket about(AttachWord word, ProcessName owner) noexcept {
  AttachPacket packet{};
  packet.word = word;
  packet.process = owner.index;
  packet.incarnation = owner.incarnation;
  return packet;
}

}  // namespace

struct Workers::Process {
  Post* post = nullptr;
  ProcessName name;
  pid_t pid = -1;
  Fd pidfd;
  Fd socket;
  bool ready = false;
  bool leaving = false;
  uint64_t started_ms = 0;
  std::deque<AttachPacket> kept;  // W4
  // After the descriptors they watch: destroyed first.
  std::unique_ptr<Poll> death;
  std::unique_ptr<Poll> packets;
  std::unique_ptr<Timer> deadline;  // to be ready, then to have left
};

Workers::Workers(uv_loop_t& loop, SharedMemory& memory, const Listeners& listeners,
                 const AccessLogFile& access_log, const Options& options, Events& events)
    : loop_(loop),
      memory_(memory),
      listeners_(listeners),
      access_log_(access_log),
      options_(options),
      events_(events),
      roll_retry_(loop, [this] { roll_on(); }),
      roll_deadline_(loop, [this] { on_roll_late(); }) {
  for (uint32_t number = 0; number < options.workers; ++number) {
    Post& post = *posts_.emplace_back(std::make_unique<Post>());
    post.number = number;
    post.restart = std::make_unique<Timer>(loop, [this, &post] { fill(post); });
  }
}

Workers::~Workers() {
  for (const auto& process : processes_) send_signal(process->pidfd.get(), SIGKILL);
  for (const auto& process : processes_) ::waitpid(process->pid, nullptr, 0);
}

void Workers::start() noexcept {
  for (const auto& post : posts_) fill(*post);
}

void Workers::fill(Post& post) noexcept {
  if (leaving_ || post.current != nullptr) return;
  const std::optional<ProcessName> name = memory_.reserve(shm::Role::kWorker, post.number);
  if (name) {
    post.current = fork_worker(post, *name);
  } else {
    log_event(LogLevel::kError, "worker_not_started",
              {{"worker", post.number}, {"why", "no free row"}});
  }
  if (post.current == nullptr) post.restart->start(limits::kRestartDelayMost);  // it was logged
}

Workers::Process* Workers::fork_worker(Post& post, ProcessName name) noexcept {
  auto process = std::make_unique<Process>();
  process->post = &post;
  process->name = name;
  process->started_ms = shm::now_ms();
  const auto give_up = [&](const char* why) -> Process* {
    log_event(LogLevel::kError, "worker_not_started", {{"worker", post.number}, {"why", why}});
    if (process->pidfd) send_signal(process->pidfd.get(), SIGKILL);
    if (process->pid > 0) ::waitpid(process->pid, nullptr, 0);
    events_.on_worker_dead(name);
    return nullptr;
  };
  int pair[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
    return give_up(std::strerror(errno));
  }
  process->socket.reset(pair[0]);
  Fd worker_socket(pair[1]);

  std::fflush(nullptr);
  process->pid = ::fork();
  if (process->pid == 0) live_as_worker(*process, std::move(worker_socket));
  if (process->pid < 0) return give_up(std::strerror(errno));
  process->pidfd = open_pidfd(process->pid);
  if (!process->pidfd) {
    ::kill(process->pid, SIGKILL);  // not reaped yet: the number is its own
    return give_up("no pidfd");
  }
  // The worker says the same of itself, to be live before it does anything; this is for our account.
  memory_.processes().set_live(process->name, static_cast<uint32_t>(process->pid),
                               start_time_of(process->pid).value_or(0));
  Process& made = *process;
  try {
    made.death = std::make_unique<Poll>(loop_, made.pidfd.get(), UV_READABLE,
                                        [this, &made](int) { on_death(made); });
    made.packets = std::make_unique<Poll>(loop_, made.socket.get(), UV_READABLE,
                                          [this, &made](int events) { on_packets(made, events); });
    made.deadline = std::make_unique<Timer>(loop_, [&made] {
      log_event(LogLevel::kWarning, "worker_killed",
                {{"worker", made.post->number},
                 {"pid", made.pid},
                 {"why", made.leaving ? "drain time over" : "not ready"}});
      send_signal(made.pidfd.get(), SIGKILL);
    });
  } catch (const std::exception& error) {
    return give_up(error.what());
  }
  made.deadline->start(limits::kWorkerStartTimeout);
  processes_.push_back(std::move(process));
  for (const ProcessName& owner : memory_.arenas()) {
    if (owner != made.name) send(made, about(AttachWord::kArena, owner));
  }
  return &made;
}

// In the child: becomes the worker and never comes back. The master's loop and all it watches are
// closed as descriptors; their objects are left alone, since no destructor runs before _exit().
void Workers::live_as_worker(const Process& process, Fd master_socket) noexcept {
  events_.on_forked();  // before anything is mapped where something was kept from us
  const std::string role = fmt::format("worker {}", process.post->number);
  set_process_title("sluice: " + role);
  set_log_role(role);
  ignore_group_signals();

  Inheritance inheritance;
  inheritance.segment = &memory_.segment();
  inheritance.me = process.name;
  inheritance.number = process.post->number;
  inheritance.master_socket = master_socket.release();
  inheritance.own_arena = memory_.arena(process.name);
  inheritance.access_log = access_log_.fd();
  inheritance.doorbell = memory_.doorbell_of(process.name.index);
  inheritance.listeners = listeners_.for_worker(process.post->number);
  inheritance.settings = options_.worker;

  std::vector<int> keep = {inheritance.master_socket, inheritance.own_arena,
                           inheritance.doorbell.bell.get(), inheritance.doorbell.ringer.get(),
                           memory_.segment().memfd(), inheritance.access_log};
  for (const InheritedListener& listener : inheritance.listeners) keep.push_back(listener.fd);
  close_all_but(keep);
  // By itself, so that nobody meets a worker at work that is not live yet.
  memory_.processes().set_live(process.name, static_cast<uint32_t>(::getpid()),
                               start_time_of(::getpid()).value_or(0));
  const int code = run_worker(std::move(inheritance));
  std::fflush(nullptr);
  ::_exit(code);
}

// ---- packets ----

void Workers::send(Process& process, AttachWord word, uint32_t number) noexcept {
  AttachPacket packet{};
  packet.word = word;
  packet.number = number;
  send(process, packet);
}

void Workers::send(Process& process, const AttachPacket& packet) noexcept {
  if (process.packets == nullptr) return;  // it hung up
  if (process.kept.empty() && send_now(process, packet)) return;
  process.kept.push_back(packet);
  process.packets->watch(UV_READABLE | UV_WRITABLE);
}

bool Workers::send_now(Process& process, const AttachPacket& packet) noexcept {
  if (packet.word == AttachWord::kAccessLog) {  // the one there is now, however long the word was kept
    const int fds[] = {access_log_.fd()};
    return shm::send_packet(process.socket.get(), packet, fds).ok();
  }
  if (packet.word != AttachWord::kArena)
    return shm::send_packet(process.socket.get(), packet, {}).ok();
  const ProcessName owner{static_cast<shm::ProcessIndex>(packet.process), packet.incarnation};
  const int memfd = memory_.arena(owner);
  if (memfd < 0) return true;  // gone while it waited: nothing to show
  AttachPacket shown = packet;
  shown.arena_bytes = memory_.arena_bytes(owner);
  const int fds[] = {memfd};
  return shm::send_packet(process.socket.get(), shown, fds).ok();
}

void Workers::send_kept(Process& process) noexcept {
  while (!process.kept.empty()) {
    if (!send_now(process, process.kept.front())) return;
    process.kept.pop_front();
  }
  process.packets->watch(UV_READABLE);
}

void Workers::on_packets(Process& process, int events) noexcept {
  for (;;) {
    const Result<shm::Received> received = shm::receive_packet(process.socket.get(), 0);
    if (!received.ok()) {
      if (received.error() == Error::kTimedOut) break;
      if (received.error() == Error::kMessageMalformed) {
        log_event(LogLevel::kError, "worker_malformed_packet", {{"worker", process.post->number}});
        send_signal(process.pidfd.get(), SIGKILL);
      }
      process.packets.reset();  // W3: its pidfd tells the rest
      return;
    }
    const AttachPacket& packet = received->packet;
    if (packet.word == AttachWord::kMapped && !process.ready) on_ready(process);
    if (packet.word == AttachWord::kDamaged) events_.on_damage();
    if (packet.word == AttachWord::kWantArena) {
      send(process, about(AttachWord::kArena,
                          {static_cast<shm::ProcessIndex>(packet.process), packet.incarnation}));
    }
  }
  if ((events & UV_WRITABLE) != 0) send_kept(process);
}

void Workers::show_arena(ProcessName owner) noexcept {
  for (const auto& process : processes_) {
    if (process->name != owner) send(*process, about(AttachWord::kArena, owner));
  }
}

void Workers::arena_gone(ProcessName owner) noexcept {
  for (const auto& process : processes_) send(*process, about(AttachWord::kArenaGone, owner));
}

void Workers::show_access_log() noexcept {
  for (const auto& process : processes_) send(*process, AttachWord::kAccessLog);
}

// ---- coming and going ----

void Workers::on_ready(Process& process) noexcept {
  if (!shm::seal_against_writers(memory_.arena(process.name)).ok()) {
    log_event(LogLevel::kError, "worker_arena_not_sealed", {{"worker", process.post->number}});
  }
  show_arena(process.name);
  process.ready = true;
  if (process.leaving) return;
  send(process, about(AttachWord::kAttached, process.name));
  process.deadline->stop();
  Post& post = *process.post;
  log_event(LogLevel::kInfo, "worker_ready", {{"worker", post.number}, {"pid", process.pid}});
  if (post.next == &process) {
    Process* const old = std::exchange(post.current, std::exchange(post.next, nullptr));
    if (old != nullptr) tell_leave(*old, AttachWord::kMakeRoom);
  }
  uncover(post);
  for (const auto& other : posts_) cover(*other);  // posts nobody could be found for until now
  if (rolling_ && posts_[*rolling_].get() == &post) {
    ++*rolling_;
    stop_roll_timers();
    roll_on();
  }
  const bool all = std::all_of(posts_.begin(), posts_.end(),
                               [](const auto& other) { return serves(other->current); });
  if (all && !std::exchange(was_ready_, was_ready_ || all)) events_.on_workers_ready();
}

void Workers::on_death(Process& process) noexcept {
  int status = 0;
  ::waitpid(process.pid, &status, WNOHANG);
  const milliseconds lived(shm::now_ms() - process.started_ms);
  const bool asked = process.leaving;
  const bool was_ready = process.ready;
  log_event(asked ? LogLevel::kInfo : LogLevel::kError, asked ? "worker_left" : "worker_died",
            {{"worker", process.post->number},
             {"pid", process.pid},
             {WIFSIGNALED(status) ? "signal" : "code",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)},
             {"lived_ms", lived.count()}});
  Post& post = *process.post;
  const ProcessName name = process.name;
  stops_accepting(process);
  const bool was_current = post.current == &process;
  const bool was_next = post.next == &process;
  if (was_current) post.current = nullptr;
  if (was_next) post.next = nullptr;
  processes_.remove_if([&](const auto& other) { return other.get() == &process; });
  events_.on_worker_dead(name);

  if (leaving_) {
    if (processes_.empty()) events_.on_workers_gone();
    return;
  }
  if (!was_ready_ && ++early_deaths_ >= limits::kStartDeaths) return events_.on_workers_failed();
  const bool rolls_on_it = rolling_ && posts_[*rolling_].get() == &post;
  if (was_next || (was_current && !was_ready && rolls_on_it)) end_roll("the new worker died");
  if (!was_current && !was_next && rolls_on_it) roll_on();  // W5
  if (was_current && post.next == nullptr) post.restart->start(post.back_off.delay_after(lived));
  if (was_next && post.current == nullptr) post.restart->start(post.back_off.delay_after(lived));
  cover(post);
}

void Workers::tell_leave(Process& process, AttachWord word) noexcept {
  process.leaving = true;
  stops_accepting(process);
  send(process, word);
  process.deadline->start(word == AttachWord::kQuit ? limits::kLeaveGrace : time_to_leave());
}

milliseconds Workers::time_to_leave() const noexcept {
  return options_.worker.drain_timeout + limits::kLeaveGrace;
}

void Workers::drain(AttachWord how) noexcept {
  leaving_ = true;
  stop_roll_timers();
  rolling_.reset();
  for (const auto& post : posts_) post->restart->stop();
  for (const auto& process : processes_) {
    if (!process->leaving) {
      tell_leave(*process, how);
    } else if (how == AttachWord::kGiveUp) {
      send(*process, how);  // it need not wait for anybody any more
    }
  }
  if (processes_.empty()) events_.on_workers_gone();
}

void Workers::quit() noexcept {
  leaving_ = true;
  stop_roll_timers();
  rolling_.reset();
  for (const auto& post : posts_) post->restart->stop();
  for (const auto& process : processes_) tell_leave(*process, AttachWord::kQuit);
  if (processes_.empty()) events_.on_workers_gone();
}

void Workers::roll() noexcept {
  if (leaving_) return log_event(LogLevel::kWarning, "rolling_restart_refused", {{"why", "leaving"}});
  roll_again_ = rolling_.has_value();
  if (roll_again_) return log_event(LogLevel::kInfo, "rolling_restart_once_more", {{"worker", *rolling_}});
  rolling_ = 0;
  roll_on();
}

// Goes on by itself when its post's worker is ready, its old one gone, or rows free: whoever finds it
// waiting for something else comes back later. Each of these has a deadline: a worker's to be ready or to
// have left, and ours for rows.
void Workers::roll_on() noexcept {
  if (*rolling_ == posts_.size()) return end_roll(nullptr);
  Post& post = *posts_[*rolling_];
  if (post.next != nullptr) return;
  if (post.current == nullptr) {  // its ready goes on
    wait_for_row();
    return post.restart->start(milliseconds(0));
  }
  if (!post.current->ready) return;  // new already; same
  if (std::ranges::any_of(processes_, [&](const auto& process) {
        return process->post == &post && process->leaving;
      })) {
    return;  // W5
  }
  std::optional<ProcessName> name;
  if (memory_.free_worker_rows() > 1) {  // W6
    name = memory_.reserve(shm::Role::kWorker, post.number);
  }
  if (!name) {
    wait_for_row();
    return roll_retry_.start(limits::kRollRetry);
  }
  stop_roll_timers();
  post.next = fork_worker(post, *name);
  if (post.next == nullptr) end_roll("not started");
}

void Workers::wait_for_row() noexcept {
  if (!roll_deadline_.running()) roll_deadline_.start(time_to_leave());
}

void Workers::on_roll_late() noexcept {
  const Post& post = *posts_[*rolling_];
  if (post.current == nullptr) {
    end_roll("no worker at its post");
  } else if (post.current->ready) {  // else one is starting
    end_roll("no free row");
  }
}

void Workers::stop_roll_timers() noexcept {
  roll_retry_.stop();
  roll_deadline_.stop();
}

void Workers::end_roll(const char* why_stopped) noexcept {
  if (why_stopped == nullptr) {
    log_event(LogLevel::kInfo, "rolling_restart_done");
  } else {
    log_event(LogLevel::kError, "rolling_restart_stopped",
              {{"worker", *rolling_}, {"why", why_stopped}});
  }
  rolling_.reset();
  stop_roll_timers();
  if (std::exchange(roll_again_, false)) roll();
}

// ---- accepting for others ----

bool Workers::serves(const Process* process) noexcept {
  return process != nullptr && process->ready && !process->leaving;
}

// Finds the post a worker that accepts for it, if it needs one and there is one.
void Workers::cover(Post& post) noexcept {
  if (leaving_ || !was_ready_ || serves(post.current) || post.cover != nullptr) return;
  const auto burden = [this](const Process* process) {
    return std::count_if(posts_.begin(), posts_.end(),
                         [&](const auto& other) { return other->cover == process; });
  };
  Process* best = nullptr;
  for (const auto& other : posts_) {
    if (!serves(other->current)) continue;
    if (best == nullptr || burden(other->current) < burden(best)) best = other->current;
  }
  if (best == nullptr) return;
  post.cover = best;
  for (const uint32_t index : listeners_.own_of(post.number))
    send(*best, AttachWord::kAcceptFrom, index);
}

void Workers::uncover(Post& post) noexcept {
  Process* const cover = std::exchange(post.cover, nullptr);
  if (cover == nullptr) return;
  for (const uint32_t index : listeners_.own_of(post.number)) {
    send(*cover, AttachWord::kStopAcceptFrom, index);
  }
}

void Workers::stops_accepting(Process& process) noexcept {
  process.ready = false;
  for (const auto& post : posts_) {
    if (post->cover != &process) continue;
    post->cover = nullptr;
    cover(*post);
  }
}

}  // namespace sluice
