// gateway/loop.cc -- see loop.h. The callback is copied before it is called, so that what it
// captures outlives a destruction from inside it.
#include "gateway/loop.h"

#include <system_error>
#include <utility>

#include "protocol/result.h"

namespace sluice {
namespace {

void must(int result, const char* what) {
  if (result < 0) throw std::system_error(-result, std::generic_category(), what);
}

}  // namespace

struct Timer::State {
  uv_timer_t handle{};
  std::shared_ptr<std::function<void()>> callback;
};

Timer::Timer(uv_loop_t& loop, std::function<void()> callback) : state_(new State) {
  state_->callback = std::make_shared<std::function<void()>>(std::move(callback));
  state_->handle.data = state_;
  uv_timer_init(&loop, &state_->handle);
}

Timer::~Timer() {
  uv_close(reinterpret_cast<uv_handle_t*>(&state_->handle),
           [](uv_handle_t* handle) { delete static_cast<State*>(handle->data); });
}

void Timer::start(std::chrono::milliseconds delay) noexcept {
  uv_update_time(state_->handle.loop);
  const auto run = [](uv_timer_t* handle) {
    const auto keep = static_cast<State*>(handle->data)->callback;
    (*keep)();
  };
  CHECK(uv_timer_start(&state_->handle, run, static_cast<uint64_t>(delay.count()), 0) == 0);
}

void Timer::stop() noexcept { uv_timer_stop(&state_->handle); }

bool Timer::running() const noexcept {
  return uv_is_active(reinterpret_cast<const uv_handle_t*>(&state_->handle)) != 0;
}

struct Poll::State {
  uv_poll_t handle{};
  std::shared_ptr<std::function<void(int)>> callback;
};

Poll::Poll(uv_loop_t& loop, int fd, int events, std::function<void(int)> callback) {
  auto state = std::make_unique<State>();
  state->callback = std::make_shared<std::function<void(int)>>(std::move(callback));
  state->handle.data = state.get();
  must(uv_poll_init(&loop, &state->handle, fd), "cannot watch a descriptor");
  state_ = state.release();
  watch(events);
}

Poll::~Poll() {
  uv_close(reinterpret_cast<uv_handle_t*>(&state_->handle),
           [](uv_handle_t* handle) { delete static_cast<State*>(handle->data); });
}

void Poll::watch(int events) noexcept {
  const auto run = [](uv_poll_t* handle, int status, int seen) {
    const auto keep = static_cast<State*>(handle->data)->callback;
    (*keep)(status < 0 ? UV_READABLE | UV_DISCONNECT : seen);
  };
  CHECK(uv_poll_start(&state_->handle, events, run) == 0);
}

}  // namespace sluice
