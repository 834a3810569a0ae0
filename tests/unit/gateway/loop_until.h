// tests/unit/gateway/loop_until.h -- runs a libuv loop until something holds, with a deadline.
#pragma once

#include <doctest/doctest.h>
#include <uv.h>

#include <functional>

#include "gateway/loop.h"

namespace sluice::tests {

// A loop that is closed after everything on it.
struct TestLoop {
  TestLoop() { REQUIRE(uv_loop_init(&loop) == 0); }
  ~TestLoop() {
    uv_run(&loop, UV_RUN_NOWAIT);
    CHECK(uv_loop_close(&loop) == 0);
  }
  // True when `holds` came to hold within 10 s.
  [[nodiscard]] bool until(const std::function<bool()>& holds) {
    bool over = false;
    Timer deadline(loop, [&] { over = true; });
    Timer look(loop, [&] { look.start(std::chrono::milliseconds(5)); });  // for what no event tells
    deadline.start(std::chrono::seconds(10));
    look.start(std::chrono::milliseconds(5));
    while (!over) {
      if (holds()) return true;
      uv_run(&loop, UV_RUN_ONCE);
    }
    return holds();
  }
  uv_loop_t loop{};
};

}  // namespace sluice::tests
