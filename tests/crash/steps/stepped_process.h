// tests/crash/steps/stepped_process.h -- a process run one machine instruction at a time.
//
// It is a child under ptrace. A system call is one instruction: the kernel finishes it before the step
// is over. Between two steps it can be copied, by a fork it is led aside to make of itself, so that the
// copy stands at the same instruction with the same registers, stack and heap: to be killed there, or to
// stand there and go on later. The registers are those of x86-64.
//
// Killed means SIGKILL, and the wait that says the process is gone.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace sluice::tests {

class SteppedProcess {
 public:
  // Forks. In the child `ready` runs freely, then `operate` is stepped, then `tell` runs freely. The
  // constructor returns when the child stands before the first instruction of `operate`.
  SteppedProcess(const std::function<void()>& ready, const std::function<void()>& operate,
                 const std::function<void()>& tell);
  SteppedProcess(const SteppedProcess&) = delete;
  SteppedProcess& operator=(const SteppedProcess&) = delete;
  ~SteppedProcess();

  // The function it stands in and how far, for a person.
  [[nodiscard]] std::string place() const;
  // One instruction on. False: the operation is over, or the process ended badly (then broken()).
  [[nodiscard]] bool step() noexcept;
  [[nodiscard]] bool broken() const noexcept { return broken_; }

  // The process as it stood at a moment; killed when this goes.
  class Copy {
   public:
    explicit Copy(const SteppedProcess& of);
    Copy(const Copy&) = delete;
    Copy& operator=(const Copy&) = delete;
    ~Copy();
    // On to the end of `tell`. False: it came to another end. It may never: set an alarm().
    [[nodiscard]] bool finish() const noexcept;

   private:
    const SteppedProcess& of_;
    pid_t pid_;
  };

 private:
  struct Phase;
  Phase* phase_;  // shared with the child
  pid_t pid_ = -1;
  bool broken_ = false;
};

}  // namespace sluice::tests
