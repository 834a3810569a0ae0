// tests/unit/shm/recovery_bench.h -- a master, a worker, and consumers that die, for tests of recovery.
#pragma once

#include "shm/recovery.h"
#include "tests/support/shm_world.h"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <functional>

namespace sluice::tests {

using namespace sluice::shm;

struct RecoveryBench {
  World world;
  Member master{world, world.join(Role::kMaster)};
  Member worker{world, world.join(Role::kWorker)};
  Recovery recovery{master.layer};
  uint32_t channel = worker.layer.channels().open("http.request").value();

  // A consumer's whole life, in a child that dies by SIGKILL where `live` ends.
  ProcessName dies(const std::function<void(Member&)>& live) {
    const ProcessName name = world.join(Role::kConsumer, 1);
    return dies_as(name, live);
  }
  ProcessName dies_as(ProcessName name, const std::function<void(Member&)>& live) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      Member me(world, name);
      live(me);
      kill(getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    return name;
  }
  void workers_see_deaths() {
    world.segment().process(worker.layer.me().index)->seen_deaths = world.segment().header().deaths.load();
  }
  std::vector<ProcessName> settle() {
    std::vector<ProcessName> freed;
    for (int i = 0; i < 5; ++i) {
      for (const ProcessName name : recovery.advance()) freed.push_back(name);
    }
    return freed;
  }
  void check_sound() {
    std::string problem;
    CHECK_MESSAGE(world.segment().verify(problem), problem);
  }
  void check_all_free(ProcessIndex row) {
    CHECK(blocks_waiting_free(world.segment(), row) == blocks_used(world.segment(), row));
  }
};

}  // namespace sluice::tests
