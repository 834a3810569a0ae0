// tools/bench/shm/processes.h -- children that each do one thing, on a CPU of their own.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <system_error>
#include <vector>

#include "tools/bench/shm/message.h"

namespace sluice::bench {

// Nothing here takes so long; a child that waits for a dead one ends then.
inline constexpr unsigned kLongestSeconds = 60;

// CPUs this program may use, in order.
inline std::vector<int> cpus() {
  cpu_set_t set;
  std::vector<int> found;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return found;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
  }
  return found;
}

// The caller stays on the number-th of `all`, counted round.
inline void stay_on(const std::vector<int>& all, size_t number) {
  if (all.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(all[number % all.size()], &set);
  sched_setaffinity(0, sizeof set, &set);
}

// Forks a child that runs `body` and ends; its failure is its exit code.
inline pid_t start(const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid > 0) return pid;
  alarm(kLongestSeconds);
  int code = 0;
  try {
    body();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "shm_bench: %s\n", e.what());
    code = 1;
  }
  std::fflush(nullptr);
  _exit(code);
}

// Waits for all of them. Throws when one failed; the others are ended then.
inline void wait_for(const std::vector<pid_t>& children) {
  bool failed = false;
  for (const pid_t pid : children) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (status == 0 || failed) continue;
    failed = true;
    for (const pid_t other : children) kill(other, SIGKILL);  // ours, not waited for yet
  }
  if (failed) throw std::runtime_error("a process of the measurement failed");
}

// Where children and parent meet before time is taken.
class StartLine {
 public:
  void ready_and_wait() noexcept {
    ready_.fetch_add(1, std::memory_order_acq_rel);
    while (!go_.load(std::memory_order_acquire)) sched_yield();  // [B]
  }
  void go_when_ready(uint32_t children) noexcept {
    while (ready_.load(std::memory_order_acquire) < children) sched_yield();
    go_.store(true, std::memory_order_release);  // [B]
  }

 private:
  std::atomic<uint32_t> ready_{0};
  std::atomic<bool> go_{false};
};

}  // namespace sluice::bench
