// gateway/master.cc -- see master.h.
#include "gateway/master.h"

#include <fmt/format.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

#include "gateway/exit_code.h"
#include "gateway/privileges.h"
#include "protocol/limits.h"
#include "worker/log.h"

namespace sluice {
namespace {

using shm::Fd;

// Signals come through a descriptor of our own rather than uv_signal: libuv keeps its handles in a
// table of the process that a fork copies, and a worker's signal would be written to our pipe.
Fd open_signals() {
  const sigset_t orders = order_signals();
  if (::sigprocmask(SIG_BLOCK, &orders, nullptr) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot block signals");
  }
  ::signal(SIGPIPE, SIG_IGN);
  Fd fd(::signalfd(-1, &orders, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw std::system_error(errno, std::generic_category(), "cannot take signals");
  return fd;
}

std::unique_ptr<Children> make_children(uv_loop_t& loop, const Options& options,
                                        std::function<void()> on_gone) {
  std::string program = options.demo > 0 ? find_demo_program() : std::string();
  return std::make_unique<Children>(loop, std::move(program), options.control, std::move(on_gone));
}

}  // namespace

Master::Loop::Loop() {
  const int result = uv_loop_init(&loop);
  if (result < 0) throw std::system_error(-result, std::generic_category(), "cannot make a loop");
}

Master::Loop::~Loop() {
  uv_run(&loop, UV_RUN_NOWAIT);  // the close callbacks of all handles
  CHECK(uv_loop_close(&loop) == 0);
}

Master::Master(const Options& options, Listeners& listeners, AccessLogFile& access_log)
    : options_(options),
      listeners_(listeners),
      access_log_(access_log),
      signals_(open_signals()),
      signal_poll_(std::make_unique<Poll>(loop_.loop, signals_.get(), UV_READABLE,
                                          [this](int) {
                                            signalfd_siginfo got{};
                                            while (::read(signals_.get(), &got, sizeof got) ==
                                                   sizeof got) {
                                              on_signal(static_cast<int>(got.ssi_signo));
                                            }
                                          })),
      realms_(loop_.loop, options, listeners, access_log, *this),
      children_(make_children(loop_.loop, options, [this] { uv_stop(&loop_.loop); })),
      ready_(loop_.loop, [this] { say_ready(); }) {}

Master::~Master() = default;

int Master::run() {
  log_event(LogLevel::kInfo, "starting",
            {{"workers", options_.workers}, {"control", options_.control}});
  realms_.start();
  children_->start(options_.demo);
  uv_run(&loop_.loop, UV_RUN_DEFAULT);
  log_event(LogLevel::kInfo, "ended", {{"code", exit_code_}});
  return exit_code_;
}

void Master::on_workers_ready() noexcept {
  workers_ready_ = true;
  ready_.start(realms_.attached() >= options_.demo ? std::chrono::milliseconds(0)
                                                    : limits::kDemoAttachTime);
}

void Master::on_attached() noexcept {
  if (workers_ready_ && realms_.attached() >= options_.demo) say_ready();
}

// Once, when a client would be answered.
void Master::say_ready() noexcept {
  ready_.stop();
  if (phase_ != Phase::kRunning || std::exchange(said_ready_, true)) return;
  for (const std::string& url : listeners_.urls()) fmt::print("{}\n", url);
  fmt::print("ready: {} workers, control socket {}\n", options_.workers, options_.control);
  std::fflush(stdout);
}

void Master::on_workers_failed() noexcept {
  log_event(LogLevel::kError, "workers_cannot_start");
  exit_code_ = kExitFailed;
  leave_now();
}

void Master::on_workers_gone() noexcept { children_->end(); }

void Master::on_signal(int number) noexcept {
  log_event(LogLevel::kInfo, "signal", {{"number", number}});
  switch (number) {
    case SIGTERM:
      drain();
      break;
    case SIGINT:
      ++interrupts_ > 1 ? leave_now() : drain();
      break;
    case SIGQUIT:
      leave_now();
      break;
    case SIGHUP:
      realms_.roll();
      break;
    case SIGUSR1:  // the log itself is stderr: there is nothing to open again
      if (access_log_.reopen()) realms_.show_access_log();
      break;
    default:
      break;
  }
}

void Master::drain() noexcept {
  if (phase_ != Phase::kRunning) return;
  phase_ = Phase::kDraining;
  log_event(LogLevel::kInfo, "draining", {{"consumers", realms_.attached()}});
  realms_.drain();
  listeners_.close();
}

void Master::leave_now() noexcept {
  if (phase_ == Phase::kLeavingNow) return;
  phase_ = Phase::kLeavingNow;
  realms_.quit();
  listeners_.close();
}

}  // namespace sluice
