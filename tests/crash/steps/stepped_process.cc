// tests/crash/steps/stepped_process.cc -- ptrace, wait and fork.
#include "tests/crash/steps/stepped_process.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "tests/crash/steps/one_step_calls.h"

// One instruction that enters the kernel: a process led here makes one call of the tracer's choice.
extern "C" [[gnu::visibility("hidden")]] const char sluice_enter_kernel[];
asm(".pushsection .text\n"
    "sluice_enter_kernel: syscall\n"
    "ud2\n"
    ".popsection");

namespace sluice::tests {
namespace {

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::abort();
}

// Waits for a stop of that process; its wait status.
int wait_for(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, __WALL) != pid) fail("waiting for a traced process");
  return status;
}

bool stopped_by(int status, int signal) { return WIFSTOPPED(status) && WSTOPSIG(status) == signal; }

user_regs_struct registers_of(pid_t pid) {
  user_regs_struct registers{};
  if (ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) fail("asking where a process stands");
  return registers;
}

void set_registers(pid_t pid, const user_regs_struct& registers) {
  if (ptrace(PTRACE_SETREGS, pid, nullptr, &registers) != 0) fail("leading a process");
}

bool single_step(pid_t pid) {
  if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0) return false;
  return stopped_by(wait_for(pid), SIGTRAP);
}

void kill_surely(pid_t pid) noexcept {
  ::kill(pid, SIGKILL);
  int status = 0;
  do {
    if (waitpid(pid, &status, __WALL) != pid) return;
  } while (WIFSTOPPED(status));
}

}  // namespace

// ---- SteppedProcess -----------------------------------------------------------------------------

// Written by the child, read by us while it is stopped.
struct SteppedProcess::Phase {
  enum Value : uint32_t { kReady, kOperating, kOver };
  std::atomic<uint32_t> value;
  std::atomic<bool> stepped;  // whoever runs now does so instruction by instruction
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
    if (signal(SIGCHLD, SIG_IGN) == SIG_ERR || ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
      fail("being traced");
    }
    ready();
    copy_in_one_step_while(phase_->stepped);
    phase_->stepped.store(true, relaxed);  // nobody else reads it before the stop
    ::kill(getpid(), SIGSTOP);
    phase_->value.store(Phase::kOperating, release);
    operate();
    phase_->value.store(Phase::kOver, release);
    tell();
    for (;;) ::kill(getpid(), SIGSTOP);
  }();
  if (!stopped_by(wait_for(pid_), SIGSTOP)) fail("a process to be stepped does not get ready");
  if (ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL) != 0) fail("tracing");
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

std::string SteppedProcess::place() const {
  const uint64_t instruction = registers_of(pid_).rip;
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

// ---- Copy ---------------------------------------------------------------------------------------

SteppedProcess::Copy::Copy(const SteppedProcess& of) : of_(of) {
  const user_regs_struct here = registers_of(of.pid_);
  user_regs_struct aside = here;
  aside.rip = reinterpret_cast<uint64_t>(sluice_enter_kernel);
  aside.orig_rax = ~0ull;  // no call that is to be begun again
  aside.rax = SYS_clone;
  aside.rdi = CLONE_PTRACE | SIGCHLD;  // the copy is traced as the process is
  aside.rsi = aside.rdx = aside.r10 = aside.r8 = 0;
  set_registers(of.pid_, aside);
  if (!single_step(of.pid_)) fail("a process does not copy itself");
  const auto copy = static_cast<int64_t>(registers_of(of.pid_).rax);
  set_registers(of.pid_, here);
  if (copy <= 0) fail("a process cannot copy itself");
  pid_ = static_cast<pid_t>(copy);
  if (!stopped_by(wait_for(pid_), SIGSTOP)) fail("a copy does not stop");
  set_registers(pid_, here);
}

SteppedProcess::Copy::~Copy() { kill_surely(pid_); }

bool SteppedProcess::Copy::finish() const noexcept {
  // It stops itself when it is done. What is the process's is so again before that goes on.
  of_.phase_->stepped.store(false, std::memory_order::relaxed);
  const bool done = ptrace(PTRACE_CONT, pid_, nullptr, nullptr) == 0 && stopped_by(wait_for(pid_), SIGSTOP);
  of_.phase_->stepped.store(true, std::memory_order::relaxed);
  of_.phase_->value.store(Phase::kOperating, std::memory_order::relaxed);
  return done;
}

}  // namespace sluice::tests
