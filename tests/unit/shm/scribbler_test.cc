// tests/unit/shm/scribbler_test.cc -- whatever is written into the control segment, nobody crashes,
// nobody goes on for ever, and nobody is given another's bytes.
#include "tests/support/scribbled_traffic.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include <random>

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::Member;
using sluice::tests::ScribbledTraffic;
using sluice::tests::World;

// A process that writes at full speed into the control segment of `traffic` until this object ends.
class Scribbler {
 public:
  Scribbler(ScribbledTraffic& traffic, uint64_t seed);
  Scribbler(const Scribbler&) = delete;
  Scribbler& operator=(const Scribbler&) = delete;
  ~Scribbler() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

ScribbledTraffic::Choose random_choices(uint64_t seed) {
  return [random = std::mt19937_64(seed)](uint64_t below) mutable { return random() % below; };
}

Scribbler::Scribbler(ScribbledTraffic& traffic, uint64_t seed) {
  int closed[2];  // read to its end when the child has let go of all it inherited: bells, above all
  REQUIRE(pipe2(closed, O_CLOEXEC) == 0);
  pid_ = fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    // Its copies of the others' tables are its own; the memory is everybody's.
    ScribbledTraffic::Choose choose = random_choices(seed);
    const auto words = traffic.world().segment().offsets().total / sizeof(Word);
    Word* const all = reinterpret_cast<Word*>(&traffic.world().segment().header());
    for (;;) {
      for (int i = 0; i < 50; ++i) traffic.scribble();
      all[choose(words)].store(choose(~uint64_t{0}));
    }
  }
  close(closed[1]);
  char none = 0;
  while (read(closed[0], &none, 1) < 0 && errno == EINTR) {
  }
  close(closed[0]);
}

TEST_CASE("without a scribbler the traffic flows and no promise is broken") {
  ScribbledTraffic traffic(random_choices(1));

  for (int step = 0; step < 20'000; ++step) traffic.work();

  CHECK(traffic.broken() == "");
  CHECK(traffic.received() > 2'000);
}

TEST_CASE("random and chosen words anywhere: every call ends, and no message is another's") {
  uint64_t received = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const uint64_t rarely = 1 + seed % 40;  // from at every step to once in forty
    ScribbledTraffic traffic(random_choices(seed));
    for (int step = 0; step < 1'500; ++step) {
      traffic.work();
      if (static_cast<uint64_t>(step) % rarely == 0) traffic.scribble();
      if (step % 400 == 399) traffic.die();
      REQUIRE(traffic.broken() == "");
    }
    received += traffic.received();
  }
  CHECK(received > 3'000);  // it did not all stop at the first word
}

TEST_CASE("a process that writes at full speed beside the others: every call ends, and no message is another's") {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    ScribbledTraffic traffic(random_choices(seed));
    const Scribbler scribbler(traffic, seed + 100);
    for (int step = 0; step < 4'000; ++step) {
      traffic.work();
      if (step % 1'000 == 999) traffic.die();
      if (traffic.broken() != "") break;
    }
    CHECK(traffic.broken() == "");
  }
}

}  // namespace
