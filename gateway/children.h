// gateway/children.h -- the demo consumers: another program, started as children and kept alive.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/back_off.h"
#include "gateway/loop.h"
#include "shm/fd.h"

namespace sluice {

// A child that dies is started again (gateway/back_off.h), and each ends with us even
// if we are killed: the kernel then sends it SIGTERM.
class Children {
 public:
  // Runs `program control`. `on_gone` is called after end() when none is left; with none
  // started, from within end().
  Children(uv_loop_t& loop, std::string program, std::string control,
           std::function<void()> on_gone);
  ~Children();  // kills what is left
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  void start(uint32_t count) noexcept;
  // SIGTERM to each, SIGKILL after limits::kLeaveGrace; then on_gone.
  void end() noexcept;

 private:
  struct Child;
  void run(Child& child) noexcept;
  void on_death(Child& child) noexcept;
  [[nodiscard]] bool any_running() const noexcept;

  uv_loop_t& loop_;
  std::string program_;
  std::string control_;
  std::function<void()> on_gone_;
  std::vector<std::unique_ptr<Child>> children_;
  std::unique_ptr<Timer> kill_;
  bool ending_ = false;
};

// The demo's program, seen from our own: ../consumer/demo/sluice-demo in a build folder,
// sluice-demo beside us where installed. Throws std::runtime_error when there is none.
[[nodiscard]] std::string find_demo_program();

}  // namespace sluice
