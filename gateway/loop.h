// gateway/loop.h -- libuv handles as owned values: a Timer and a Poll end when their owner does.
//
// Owner     whoever holds the object. libuv's own handle lives on until its close callback ran, on
// a
//           later turn of the loop; it holds no pointer to us by then.
// Lifetime  destroying one from inside its own callback is allowed.
// Thread    the loop's.    Throws  construction only: std::system_error.
#pragma once

#include <uv.h>

#include <chrono>
#include <functional>
#include <memory>

namespace sluice {

// Calls back once after a delay, on a later turn of the loop.
class Timer {
 public:
  Timer(uv_loop_t& loop, std::function<void()> callback);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void start(std::chrono::milliseconds delay) noexcept;  // anew, if it runs
  void stop() noexcept;
  [[nodiscard]] bool running() const noexcept;

 private:
  struct State;
  State* state_;  // freed by libuv's close callback
};

// Calls back whenever the descriptor is ready for `events` (UV_READABLE, UV_WRITABLE,
// UV_DISCONNECT). The descriptor is the caller's, and must stay open as long as we exist.
class Poll {
 public:
  Poll(uv_loop_t& loop, int fd, int events, std::function<void(int events)> callback);
  ~Poll();
  Poll(const Poll&) = delete;
  Poll& operator=(const Poll&) = delete;
  void watch(int events) noexcept;

 private:
  struct State;
  State* state_;
};

}  // namespace sluice
