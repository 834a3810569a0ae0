// tests/crash/steps/stepped_process.cc -- ptrace, wait and fork.
#include "tests/crash/steps/stepped_process.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace sluice::tests {
namespace {

constexpr int kCopyYourself = SIGUSR1;
constexpr int kStopsOutOfHandler = 8;  // of system calls: the fork's end, the handler's return

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::abort();
}

// In the traced process, wherever it stands. Nothing of glibc's that locks: it may stand in malloc.
void copy_yourself(int) { syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }

// Waits for a stop of that process; its wait status.
int wait_for(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, __WALL) != pid) fail("waiting for a traced process");
  return status;
}

bool stopped_by(int status, int signal) { return WIFSTOPPED(status) && WSTOPSIG(status) == signal; }

Place place_of(pid_t pid) {
  __ptrace_syscall_info info{};
  if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) {
    fail("asking where a process stands");
  }
  return {info.instruction_pointer, info.stack_pointer};
}

bool single_step(pid_t pid) {
  if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0) return false;
  return stopped_by(wait_for(pid), SIGTRAP);
}

// Out of the handler, which ends with a system call, to where the signal met it.
void let_return_to(pid_t pid, const Place& place) {
  for (int i = 0; i < kStopsOutOfHandler; ++i) {
    if (place_of(pid) == place) return;
    if (ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr) != 0) break;
    if (!stopped_by(wait_for(pid), SIGTRAP | 0x80)) break;  // PTRACE_O_TRACESYSGOOD
  }
  fail("a copy does not come back to its instruction");
}

void kill_surely(pid_t pid) noexcept {
  ::kill(pid, SIGKILL);
  int status = 0;
  do {
    if (waitpid(pid, &status, __WALL) != pid) return;
  } while (WIFSTOPPED(status));
}

}  // namespace

std::string Place::name() const {
  Dl_info found{};
  if (dladdr(reinterpret_cast<const void*>(instruction), &found) == 0) return "somewhere";
  char text[400];
  const uint64_t start = reinterpret_cast<uint64_t>(found.dli_saddr != nullptr ? found.dli_saddr : found.dli_fbase);
  std::snprintf(text, sizeof text, "%s+0x%llx (file offset 0x%llx)",
                found.dli_sname != nullptr ? found.dli_sname : found.dli_fname,
                static_cast<unsigned long long>(instruction - start),
                static_cast<unsigned long long>(instruction - reinterpret_cast<uint64_t>(found.dli_fbase)));
  return text;
}

// ---- SteppedProcess -----------------------------------------------------------------------------

// Written by the child, read by us while it is stopped.
struct SteppedProcess::Phase {
  enum Value : uint32_t { kReady, kOperating, kOver };
  std::atomic<uint32_t> value;
};

SteppedProcess::SteppedProcess(const std::function<void()>& ready, const std::function<void()>& operate,
                               const std::function<void()>& tell) {
  using enum std::memory_order;
  void* memory = mmap(nullptr, sizeof(Phase), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("shared memory");
  phase_ = new (memory) Phase{};
  pid_ = fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) [&]() noexcept {
    // Its copies are its children, and nobody's: they leave no zombie.
    if (signal(SIGCHLD, SIG_IGN) == SIG_ERR || signal(kCopyYourself, copy_yourself) == SIG_ERR ||
        ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
      fail("being traced");
    }
    ready();
    ::kill(getpid(), SIGSTOP);
    phase_->value.store(Phase::kOperating, release);
    operate();
    phase_->value.store(Phase::kOver, release);
    tell();
    for (;;) ::kill(getpid(), SIGSTOP);
  }();
  if (!stopped_by(wait_for(pid_), SIGSTOP)) fail("a process to be stepped does not get ready");
  constexpr long kOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACESYSGOOD;
  if (ptrace(PTRACE_SETOPTIONS, pid_, nullptr, kOptions) != 0) fail("tracing");
  while (phase_->value.load(acquire) == Phase::kReady) {
    if (!single_step(pid_)) fail("stepping");
  }
}

SteppedProcess::~SteppedProcess() {
  kill_surely(pid_);
  munmap(phase_, sizeof(Phase));
}

bool SteppedProcess::step() noexcept {
  if (!single_step(pid_)) {
    broken_ = true;
    return false;
  }
  return phase_->value.load(std::memory_order::acquire) == Phase::kOperating;
}

Place SteppedProcess::place() const noexcept { return place_of(pid_); }

// ---- Copy ---------------------------------------------------------------------------------------

SteppedProcess::Copy::Copy(const SteppedProcess& of) : of_(of) {
  const Place here = of.place();
  int status = 0;
  do {  // after a stop at a system call it is told of the signal before it is given it
    if (ptrace(PTRACE_CONT, of.pid_, nullptr, kCopyYourself) != 0) fail("copying a process");
    status = wait_for(of.pid_);
  } while (stopped_by(status, kCopyYourself));
  if (status >> 8 != (SIGTRAP | PTRACE_EVENT_FORK << 8)) fail("a process does not copy itself");
  unsigned long copy = 0;
  if (ptrace(PTRACE_GETEVENTMSG, of.pid_, nullptr, &copy) != 0) fail("the copy's pid");
  pid_ = static_cast<pid_t>(copy);
  if (!stopped_by(wait_for(pid_), SIGSTOP)) fail("a copy does not stop");
  let_return_to(of.pid_, here);
  let_return_to(pid_, here);
}

SteppedProcess::Copy::~Copy() { kill_surely(pid_); }

bool SteppedProcess::Copy::finish() const noexcept {
  // It stops itself when it is done.
  const bool done = ptrace(PTRACE_CONT, pid_, nullptr, nullptr) == 0 && stopped_by(wait_for(pid_), SIGSTOP);
  of_.phase_->value.store(Phase::kOperating, std::memory_order::relaxed);  // of the process, who goes on
  return done;
}

}  // namespace sluice::tests
