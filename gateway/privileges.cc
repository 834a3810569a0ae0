// gateway/privileges.cc -- see privileges.h.
#include "gateway/privileges.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace sluice {
namespace {

constexpr int kOrders[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1};

void set_all(sighandler_t how) noexcept {
  for (const int number : kOrders) ::signal(number, how);
}

void unblock_all() noexcept {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

void raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
}

sigset_t order_signals() noexcept {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kOrders) sigaddset(&set, number);
  return set;
}

void ignore_group_signals() noexcept {
  set_all(SIG_IGN);
  unblock_all();
}

void reset_signals() noexcept {
  set_all(SIG_DFL);
  ::signal(SIGPIPE, SIG_DFL);
  unblock_all();
}

void close_all_but(std::span<const int> keep) noexcept {
  std::vector<int> sorted(keep.begin(), keep.end());
  std::sort(sorted.begin(), sorted.end());
  unsigned first = 3;
  for (const int fd : sorted) {
    if (fd < 0 || static_cast<unsigned>(fd) < first) continue;
    const auto kept = static_cast<unsigned>(fd);
    if (kept > first) ::syscall(SYS_close_range, first, kept - 1, 0);
    first = kept + 1;
  }
  ::syscall(SYS_close_range, first, std::numeric_limits<unsigned>::max(), 0);
}

}  // namespace sluice
