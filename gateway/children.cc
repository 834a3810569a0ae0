// gateway/children.cc -- see children.h.
#include "gateway/children.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "gateway/privileges.h"
#include "worker/process.h"
#include "protocol/limits.h"
#include "shm/clock.h"
#include "worker/log.h"

namespace sluice {

struct Children::Child {
  uint32_t number = 0;
  pid_t pid = -1;  // -1: not running
  shm::Fd pidfd;
  uint64_t started_ms = 0;
  BackOff back_off;
  std::unique_ptr<Poll> death;  // after the descriptor it watches: destroyed first
  std::unique_ptr<Timer> restart;
};

Children::Children(uv_loop_t& loop, std::string program, std::string control,
                   std::function<void()> on_gone)
    : loop_(loop),
      program_(std::move(program)),
      control_(std::move(control)),
      on_gone_(std::move(on_gone)) {
  kill_ = std::make_unique<Timer>(loop, [this] {
    for (const auto& child : children_) {
      if (child->pid > 0) send_signal(child->pidfd.get(), SIGKILL);
    }
  });
}

Children::~Children() {
  for (const auto& child : children_) {
    if (child->pid <= 0) continue;
    ::kill(child->pid, SIGKILL);  // not reaped yet: the number is its own
    ::waitpid(child->pid, nullptr, 0);
  }
}

void Children::start(uint32_t count) noexcept {
  for (uint32_t number = 1; number <= count; ++number) {
    Child& child = *children_.emplace_back(std::make_unique<Child>());
    child.number = number;
    child.restart = std::make_unique<Timer>(loop_, [this, &child] { run(child); });
    run(child);
  }
}

void Children::run(Child& child) noexcept {
  if (ending_) return;
  const pid_t parent = ::getpid();
  std::fflush(nullptr);
  child.started_ms = shm::now_ms();
  child.pid = ::fork();
  if (child.pid == 0) {
    ::setpgid(
        0, 0);  // a terminal's Ctrl-C is ours to pass on: consumers serve until workers have left
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(0);  // we died in between
    reset_signals();
    close_all_but({});
    ::execl(program_.c_str(), program_.c_str(), control_.c_str(), nullptr);
    set_log_role("demo consumer");
    log_event(LogLevel::kError, "cannot_execute",
              {{"program", program_}, {"why", std::strerror(errno)}});
    ::_exit(127);
  }
  if (child.pid > 0) child.pidfd = open_pidfd(child.pid);
  if (child.pid < 0 || !child.pidfd) {
    log_event(LogLevel::kError, "child_not_started",
              {{"child", child.number}, {"why", std::strerror(errno)}});
    if (child.pid > 0) {
      ::kill(child.pid, SIGKILL);
      ::waitpid(child.pid, nullptr, 0);
    }
    child.pid = -1;
    child.restart->start(limits::kRestartDelayMost);
    return;
  }
  try {
    child.death = std::make_unique<Poll>(loop_, child.pidfd.get(), UV_READABLE,
                                         [this, &child](int) { on_death(child); });
  } catch (const std::exception& error) {
    log_event(LogLevel::kError, "child_not_watched",
              {{"child", child.number}, {"why", error.what()}});
  }
}

void Children::on_death(Child& child) noexcept {
  int status = 0;
  ::waitpid(child.pid, &status, WNOHANG);
  log_event(ending_ ? LogLevel::kInfo : LogLevel::kWarning, ending_ ? "child_left" : "child_died",
            {{"child", child.number},
             {"pid", child.pid},
             {WIFSIGNALED(status) ? "signal" : "code",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)}});
  child.death.reset();
  child.pidfd.reset();
  child.pid = -1;
  if (ending_) {
    if (!any_running()) on_gone_();
    return;
  }
  const std::chrono::milliseconds lived(shm::now_ms() - child.started_ms);
  child.restart->start(child.back_off.delay_after(lived));
}

void Children::end() noexcept {
  ending_ = true;
  for (const auto& child : children_) {
    child->restart->stop();
    if (child->pid > 0) send_signal(child->pidfd.get(), SIGTERM);
  }
  if (!any_running()) return on_gone_();
  kill_->start(limits::kLeaveGrace);
}

bool Children::any_running() const noexcept {
  return std::any_of(children_.begin(), children_.end(),
                     [](const auto& child) { return child->pid > 0; });
}

std::string find_demo_program() {
  const std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::filesystem::path places[] = {own.parent_path() / "consumer" / "demo" / "sluice-demo",
                                          own / "sluice-demo"};
  for (const auto& place : places) {
    if (::access(place.c_str(), X_OK) == 0) return place;
  }
  throw std::runtime_error(
      fmt::format("cannot find the demo consumer: neither {} nor {} can be executed",
                  places[0].string(), places[1].string()));
}

}  // namespace sluice
