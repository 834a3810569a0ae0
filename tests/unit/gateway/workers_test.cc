// tests/unit/gateway/workers_test.cc -- workers forked, watched, replaced and ended; the worker
// itself is tests/unit/gateway/fake_worker.cc.
#include "gateway/workers.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "gateway/geometry.h"
#include "tests/unit/gateway/fake_worker.h"
#include "tests/unit/gateway/loop_until.h"

namespace {

using namespace sluice;
using shm::ProcessName;
using tests::FakeWorkers;

struct Bench : Workers::Events {
  explicit Bench(uint32_t number, const std::string& log = "off")
      : options([&] {
          Options o = default_options();
          o.workers = number;
          o.max_consumers = 2;
          o.worker.max_connections = 64;
          o.worker.drain_timeout = std::chrono::milliseconds(100);
          return o;
        }()),
        memory(geometry_for(options)),
        listeners({parse_listen_address("127.0.0.1:0")}, number, std::chrono::milliseconds(0)),
        access_log(log),
        workers(std::make_unique<Workers>(loop.loop, memory, listeners, access_log, options, *this)) {}

  void on_workers_ready() noexcept override { ++ready; }
  void on_worker_dead(ProcessName worker) noexcept override {
    dead.push_back(worker);
    if (rows_stay_busy) return;  // as they do while a consumer holds what lies in its arena
    memory.recovery().on_death(worker);
    static_cast<void>(memory.advance());
  }
  void on_workers_gone() noexcept override { gone = true; }
  void on_workers_failed() noexcept override { failed = true; }
  void on_damage() noexcept override {}
  void on_forked() noexcept override {}

  void start() {
    workers->start();
    REQUIRE(loop.until([&] { return ready == 1; }));
  }

  // Takes worker rows until so many are left; gives what it took.
  std::vector<ProcessName> leave_free(uint32_t rows) {
    std::vector<ProcessName> taken;
    while (const auto name = memory.reserve(shm::Role::kWorker, 0)) taken.push_back(*name);
    REQUIRE(taken.size() >= rows);
    for (; rows > 0; --rows) {
      give_back(taken.back());
      taken.pop_back();
    }
    return taken;
  }
  void give_back(ProcessName name) {
    memory.processes().set_dead(name);
    memory.processes().set_free(name);
  }

  FakeWorkers fake;  // forgets what an earlier test's workers did
  tests::TestLoop loop;
  Options options;
  SharedMemory memory;
  Listeners listeners;
  AccessLogFile access_log;
  std::unique_ptr<Workers> workers;
  int ready = 0;
  bool gone = false;
  bool failed = false;
  std::vector<ProcessName> dead;
  bool rows_stay_busy = false;
};

TEST_CASE("every worker is live, has its own sockets, and the gateway is ready once") {
  Bench bench(2);

  bench.start();

  CHECK(bench.fake.pid(0) > 0);
  CHECK(bench.fake.pid(1) > 0);
  CHECK(bench.memory.processes().living(2).has_value());
  CHECK(bench.memory.processes().living(3).has_value());
  CHECK(bench.fake.ok(0));
  CHECK(bench.fake.ok(1));
}

TEST_CASE("a worker is told to accept when nobody can map its arena for writing any more") {
  Bench bench(2);

  bench.start();

  for (const uint32_t number : {0, 1}) {
    CHECK(bench.loop.until([&] { return bench.fake.attached(number); }));
    CHECK(bench.fake.sealed_by_then(number));
  }
}

TEST_CASE("a killed worker is followed at once, in another incarnation") {
  Bench bench(1);
  bench.start();
  const pid_t before = bench.fake.pid(0);

  ::kill(before, SIGKILL);

  CHECK(bench.loop.until([&] { return bench.fake.pid(0) != before && bench.fake.starts(0) == 2; }));
  REQUIRE(bench.dead.size() == 1);
  CHECK_FALSE(bench.memory.processes().is_live(bench.dead[0]));
  CHECK(bench.ready == 1);
}

TEST_CASE("while a worker is down another accepts for it, until its successor does") {
  Bench bench(2);
  bench.start();
  bench.fake.hold_starts(true);  // a successor starts, and does not accept yet

  ::kill(bench.fake.pid(1), SIGKILL);
  CHECK(bench.loop.until([&] { return bench.fake.last_accept_from(0) == 1; }));
  CHECK(bench.fake.last_stop_accept_from(0) == -1);
  bench.fake.hold_starts(false);

  CHECK(bench.loop.until([&] { return bench.fake.last_stop_accept_from(0) == 1; }));
}

TEST_CASE("draining tells every worker, and is over when all have left") {
  Bench bench(2);
  bench.start();

  bench.workers->drain(shm::AttachWord::kDrain);

  CHECK(bench.loop.until([&] { return bench.gone; }));
  CHECK(bench.fake.drained(0));
  CHECK(bench.fake.drained(1));
  CHECK(bench.fake.starts(0) == 1);
}

TEST_CASE("a worker that does not leave in its time is killed") {
  Bench bench(1);
  bench.fake.ignore_orders(true);
  bench.start();

  bench.workers->quit();

  CHECK(bench.loop.until([&] { return bench.gone; }));
  CHECK_FALSE(bench.fake.drained(0));
}

TEST_CASE(
    "a rolling restart replaces every worker, each old one drained after its successor accepts") {
  Bench bench(2);
  bench.start();
  const pid_t first = bench.fake.pid(0);
  const pid_t second = bench.fake.pid(1);

  bench.workers->roll();

  CHECK(bench.loop.until([&] { return bench.dead.size() == 2; }));
  CHECK(bench.fake.pid(0) != first);
  CHECK(bench.fake.pid(1) != second);
  CHECK(bench.fake.starts(0) == 2);
  CHECK(bench.fake.starts(1) == 2);
  CHECK(bench.fake.replaced(0));
  CHECK(bench.fake.replaced(1));
  CHECK(!bench.fake.drained(0));
  CHECK(bench.ready == 1);
}

TEST_CASE("rolling restarts asked for during one are one more afterwards") {
  Bench bench(1);
  bench.start();
  bench.fake.hold_starts(true);
  for (int i = 0; i < 3; ++i) bench.workers->roll();
  bench.fake.hold_starts(false);

  CHECK(bench.loop.until([&] { return bench.dead.size() == 2; }));
  CHECK(bench.fake.starts(0) == 3);

  bench.workers->roll();
  CHECK(bench.loop.until([&] { return bench.dead.size() == 3; }));
  CHECK(bench.fake.starts(0) == 4);
}

TEST_CASE("a post is not given a third process while its first is leaving") {
  Bench bench(1);
  bench.start();
  bench.fake.ignore_orders(true);
  bench.workers->roll();
  REQUIRE(bench.loop.until([&] { return bench.fake.starts(0) == 2; }));

  bench.workers->roll();

  CHECK(bench.loop.until([&] { return bench.fake.starts(0) == 3; }));
  CHECK(!bench.dead.empty());  // the first, killed when its time was over
}

TEST_CASE("a rolling restart waits until a second row is free, and goes on then") {
  Bench bench(1);
  bench.start();
  const std::vector<ProcessName> taken = bench.leave_free(0);
  REQUIRE(taken.size() >= 2);

  bench.workers->roll();
  CHECK(bench.fake.starts(0) == 1);
  bench.give_back(taken[0]);
  bench.give_back(taken[1]);

  CHECK(bench.loop.until([&] { return bench.fake.starts(0) == 2; }));
  CHECK(bench.loop.until([&] { return bench.dead.size() == 1; }));
}

TEST_CASE("a rolling restart leaves a row for a worker that dies meanwhile") {
  Bench bench(2);
  bench.start();
  bench.rows_stay_busy = true;
  const std::vector<ProcessName> taken = bench.leave_free(1);
  bench.fake.hold_starts(true);  // what a roll starts is still starting when the other worker dies
  bench.workers->roll();
  const pid_t killed = bench.fake.pid(1);

  ::kill(killed, SIGKILL);
  CHECK(bench.loop.until([&] { return bench.dead.size() == 1; }));
  bench.fake.hold_starts(false);

  CHECK(bench.loop.until([&] { return bench.fake.starts(1) == 2; }));
  CHECK(bench.fake.pid(1) != killed);
  CHECK(bench.fake.starts(0) == 1);
}

TEST_CASE("a rolling restart that finds no rows for a worker's time to leave stops, and all stay") {
  Bench bench(2);
  bench.start();
  const std::vector<ProcessName> taken = bench.leave_free(1);
  const pid_t first = bench.fake.pid(0);

  bench.workers->roll();
  REQUIRE(bench.workers->rolling());

  CHECK(bench.loop.until([&] { return !bench.workers->rolling(); }));
  CHECK(bench.fake.pid(0) == first);
  CHECK(bench.dead.empty());
  for (const ProcessName& name : taken) bench.give_back(name);
  bench.workers->roll();
  CHECK(bench.loop.until([&] { return bench.dead.size() == 2; }));
  CHECK(bench.loop.until([&] { return !bench.workers->rolling(); }));
}

TEST_CASE("a rolling restart does not wait without end for a worker that no row is free for") {
  Bench bench(1);
  bench.start();
  bench.rows_stay_busy = true;
  const std::vector<ProcessName> taken = bench.leave_free(0);
  ::kill(bench.fake.pid(0), SIGKILL);
  REQUIRE(bench.loop.until([&] { return bench.dead.size() == 1; }));

  bench.workers->roll();
  REQUIRE(bench.workers->rolling());

  CHECK(bench.loop.until([&] { return !bench.workers->rolling(); }));
  CHECK(bench.fake.starts(0) == 1);
  bench.give_back(taken[0]);  // the post is filled all the same
  CHECK(bench.loop.until([&] { return bench.fake.starts(0) == 2; }));
}

TEST_CASE("a rolling restart ends when the worker it waits for dies as soon as it starts") {
  Bench bench(1);
  bench.start();
  bench.fake.die_at_start(true);
  ::kill(bench.fake.pid(0), SIGKILL);
  REQUIRE(bench.loop.until([&] { return bench.dead.size() == 2; }));  // its follower too

  bench.workers->roll();
  REQUIRE(bench.workers->rolling());

  CHECK(bench.loop.until([&] { return !bench.workers->rolling(); }));
  bench.fake.die_at_start(false);
  CHECK(bench.loop.until([&] { return bench.fake.starts(0) == 2; }));
}

TEST_CASE("draining during a rolling restart ends it, and everybody") {
  for (const bool held : {true, false}) {
    CAPTURE(held);
    Bench bench(2);
    bench.start();
    bench.fake.hold_starts(held);
    bench.workers->roll();
    bench.workers->roll();

    bench.workers->drain(shm::AttachWord::kDrain);

    bench.fake.hold_starts(false);
    CHECK(bench.loop.until([&] { return bench.gone; }));
    CHECK(bench.fake.starts(0) <= 2);
    CHECK(bench.fake.starts(1) == 1);
  }
}

TEST_CASE("a successor that dies stops the rolling restart, and the old worker stays") {
  Bench bench(1);
  bench.start();
  const pid_t before = bench.fake.pid(0);
  bench.fake.die_at_start(true);

  bench.workers->roll();

  CHECK(bench.loop.until([&] { return bench.dead.size() == 1; }));
  CHECK(bench.fake.pid(0) == before);
  bench.fake.die_at_start(false);
  bench.workers->roll();
  CHECK(bench.loop.until([&] { return bench.fake.pid(0) != before; }));
}

TEST_CASE("workers that die before they ever accepted end the gateway's start") {
  Bench bench(1);
  bench.fake.die_at_start(true);

  bench.workers->start();

  CHECK(bench.loop.until([&] { return bench.failed; }));
  CHECK(bench.ready == 0);
  CHECK(bench.dead.size() == static_cast<size_t>(limits::kStartDeaths));
}

TEST_CASE("a worker is shown the arenas there are, and those that come later") {
  Bench bench(1);
  const auto early = bench.memory.reserve(shm::Role::kConsumer, 1);
  REQUIRE(early.has_value());
  bench.start();
  const auto late = bench.memory.reserve(shm::Role::kConsumer, 2);
  REQUIRE(late.has_value());

  bench.workers->show_arena(*late);

  CHECK(bench.loop.until(
      [&] { return bench.fake.arenas_seen(0) == 3; }));  // the master's is the third
}

TEST_CASE("workers write to the access log there is, and to the new one when it was opened anew") {
  char folder[] = "/tmp/sluice-workers-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/access.log";
  const auto lines = [](const std::string& file) {  // a worker writes its number
    std::multiset<std::string> found;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) found.insert(line);
    return found;
  };
  using Lines = std::multiset<std::string>;
  {
    Bench bench(2, path);
    bench.start();
    CHECK(bench.fake.ok(0));
    CHECK(lines(path) == Lines{"0", "1"});
    std::filesystem::rename(path, path + ".1");

    REQUIRE(bench.access_log.reopen());
    bench.workers->show_access_log();

    for (const uint32_t number : {0, 1}) {
      CHECK(bench.loop.until([&] { return bench.fake.access_logs_seen(number) == 1; }));
    }
    CHECK(lines(path) == Lines{"0", "1"});
    ::kill(bench.fake.pid(1), SIGKILL);  // its successor is started with the new one
    CHECK(bench.loop.until([&] { return bench.fake.starts(1) == 2; }));
    CHECK(lines(path) == Lines{"0", "1", "1"});
    CHECK(lines(path + ".1") == Lines{"0", "1"});
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
