// tests/crash/kill_storm.cc -- workers and consumers push and take 512-byte blocks through the real
// layer while their parent kills them at random; then it counts.
//
//   usage: kill_storm [seconds] [seed]
//
// S1  No message is delivered twice.
// S2  Of a worker that lived to the end, every message was delivered, or came back to it as taken by
//     one that died; those that were not delivered are at most as many as there were deaths.
// S3  At the end all blocks of all the dead are free, and Segment::verify() finds nothing.
// S4  Nobody waits for ever: readers sleep in their futex without a belt (a minute), and the storm
//     ends in time.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

#include "tests/support/shm_world.h"

namespace {

using namespace sluice;
using namespace sluice::shm;
using sluice::tests::blocks_used;
using sluice::tests::blocks_waiting_free;
using sluice::tests::Member;
using sluice::tests::World;

constexpr uint32_t kWorkers = 3;  // the first is never killed
constexpr uint32_t kConsumers = 4;
constexpr uint32_t kMessages = 1u << 25;  // of one worker, its successors included: a minute of them
constexpr size_t kBytes = 440;            // with its header, a block of the smallest class

// What became of a message.
enum Fate : uint8_t { kSent = 1, kDelivered = 2, kTwice = 4, kTakenByTheDead = 8 };

// Beside the segment, in memory of the test's own.
struct Ledger {
  std::atomic<bool> stop_sending;
  std::atomic<bool> leave;
  std::array<std::atomic<uint32_t>, kWorkers> next;
  std::array<std::atomic<uint64_t>, kConsumers> taken;
  std::array<std::array<std::atomic<uint8_t>, kMessages>, kWorkers> fate;

  void deliver(uint32_t worker, uint32_t number) {
    if ((fate[worker][number].fetch_or(kDelivered) & kDelivered) != 0) fate[worker][number].fetch_or(kTwice);
  }
};

struct Body {
  uint32_t worker;
  uint32_t number;
  std::array<uint64_t, 54> filling;
};
static_assert(sizeof(Body) == kBytes);

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "kill storm: %s\n", what);
  std::abort();
}

Body body_of(const Delivery& delivery) {
  Body body{};
  if (delivery.content().size() != sizeof body) fail("a message of the wrong length");
  std::memcpy(&body, delivery.content().data(), sizeof body);
  for (const uint64_t word : body.filling) {
    if (word != (uint64_t{body.worker} << 32 | body.number)) fail("a message of mixed content");
  }
  return body;
}

[[noreturn]] void live_as_worker(World& world, Ledger& ledger, ProcessName name, uint32_t worker) {
  Member me(world, name);
  const uint32_t channel = me.layer.channels().open("http.request").value();
  ProcessRecord& row = *world.segment().process(name.index);
  constexpr uint32_t kNone = ~0u;
  uint32_t number = kNone;
  while (!ledger.leave.load()) {
    row.seen_deaths = world.segment().header().deaths.load();
    while (const auto back = me.layer.try_receive()) {
      if (back->returned() == Returned::kNo) continue;  // a consumer's greeting
      const Body body = body_of(*back);
      if (body.worker == worker) ledger.fate[worker][body.number].fetch_or(kTakenByTheDead);
    }
    bool sent = false;
    for (int i = 0; i < 32 && !ledger.stop_sending.load(); ++i) {
      auto claim = me.layer.claim(kBytes);
      if (!claim.ok()) break;
      // A number is used once, whatever becomes of the message: a successor must not send it again.
      if (number == kNone) number = ledger.next[worker].fetch_add(1);
      if (number >= kMessages) break;
      Body body{worker, number, {}};
      body.filling.fill(uint64_t{worker} << 32 | number);
      std::memcpy(claim->space().data(), &body, sizeof body);
      const auto outcome = me.layer.send(channel, *claim, sizeof body, {});
      if (!outcome.ok()) {
        if (outcome.error() != Error::kChannelFull) fail("a send failed");
        break;
      }
      sent = true;
      ledger.fate[worker][number].fetch_or(kSent);
      number = kNone;
    }
    me.layer.ring();
    if (sent) continue;
    me.bell.fall_asleep_in_futex();
    if (!me.layer.anything_waiting()) me.bell.sleep_in_futex(std::chrono::milliseconds(1));
    me.bell.stay_awake();
  }
  _exit(0);
}

[[noreturn]] void live_as_consumer(World& world, Ledger& ledger, ProcessName name, uint32_t consumer,
                                   const std::vector<ProcessName>& workers) {
  Member me(world, name);
  const uint32_t channel = me.layer.channels().open("http.request").value();
  me.layer.start_reading(channel);
  uint64_t turn = 0;
  for (;;) {
    while (const auto delivery = me.layer.try_receive()) {
      const Body body = body_of(*delivery);
      ledger.deliver(body.worker, body.number);
      ledger.taken[consumer].fetch_add(1);
      if (++turn % 64 == 0) {
        static_cast<void>(me.send_to(workers[turn / 64 % workers.size()], "greeting"));
      }
      if (turn % 16 == 0) me.layer.ring();
    }
    me.layer.ring();
    me.layer.pass_on();
    if (ledger.leave.load()) _exit(0);
    me.layer.wait_on_channels();
    me.bell.fall_asleep_in_futex();
    if (!me.layer.anything_waiting() && !ledger.leave.load()) {
      me.bell.sleep_in_futex(std::chrono::seconds(60));  // S4
    }
    me.bell.stay_awake();
    me.layer.stop_waiting();
  }
}

Geometry storm_geometry() {
  Geometry geometry = tests::small_geometry();
  geometry.processes = 48;
  geometry.worker_processes = 12;
  geometry.channel_cells = 256;
  geometry.worker_blocks[0] = 512;
  geometry.other_blocks[0] = 64;
  return geometry;
}

class Storm {
 public:
  explicit Storm(uint32_t seed) : random_(seed) {
    void* memory = mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("no memory for the ledger");
    ledger_ = static_cast<Ledger*>(memory);  // zeroed
    for (uint32_t i = 0; i < kWorkers; ++i) start(Role::kWorker, i);
    for (uint32_t i = 0; i < kConsumers; ++i) start(Role::kConsumer, i);
  }

  void rage(std::chrono::seconds time) {
    const uint64_t end = now_ms() + static_cast<uint64_t>(time.count()) * 1000;
    while (now_ms() < end && ledger_->next[0].load() < kMessages) {
      wait_for_messages(random_() % 6000);
      auto victim = children_.begin();
      std::advance(victim, random_() % children_.size());
      const Child child = victim->second;
      if (child.role == Role::kWorker && (child.number == 0 || random_() % 4 != 0)) continue;
      kill(victim->first, SIGKILL);
      bury(victim->first, SIGKILL);
      (child.role == Role::kWorker ? worker_kills_ : consumer_kills_)++;
      start(child.role, child.number);
      static_cast<void>(recovery_.advance());
    }
  }

  void calm() {
    ledger_->stop_sending = true;
    // Consumers take what is left; a minute's sleep without a ring would show here.
    const uint64_t deadline = now_ms() + 20'000;
    const uint32_t channel = master_.layer.channels().open("http.request").value();
    while (!world_.segment().channel_queue(channel).empty() || recovery_.busy()) {
      if (now_ms() > deadline) fail("messages still wait, or recovery: somebody was not woken");
      static_cast<void>(recovery_.advance());
      sched_yield();
    }
    ledger_->leave = true;
    recovery_.ring_all();
    while (!children_.empty()) {
      if (now_ms() > deadline) fail("a process does not leave");
      recovery_.ring_all();
      int status = 0;
      const pid_t pid = waitpid(-1, &status, WNOHANG);
      if (pid > 0) gone(pid, status, 0);
      sched_yield();
    }
    for (int i = 0; i < 10; ++i) static_cast<void>(recovery_.advance());
  }

  int count() {
    bool right = true;
    const auto expect = [&](bool held, const char* what) {
      if (!held) std::printf("broken: %s\n", what);
      right = right && held;
    };
    uint64_t sent = 0, twice = 0, lost = 0, undelivered = 0, taken = 0;
    for (uint32_t worker = 0; worker < kWorkers; ++worker) {
      for (uint32_t number = 0; number < std::min(ledger_->next[worker].load(), kMessages); ++number) {
        const uint8_t fate = ledger_->fate[worker][number].load();
        sent += (fate & kSent) != 0;
        twice += (fate & kTwice) != 0;
        if (worker != 0) continue;
        undelivered += (fate & kSent) != 0 && (fate & kDelivered) == 0;
        lost += (fate & kSent) != 0 && (fate & (kDelivered | kTakenByTheDead)) == 0;
      }
    }
    for (const auto& each : ledger_->taken) taken += each.load();
    std::printf("%" PRIu64 " messages sent, %" PRIu64 " taken; %u consumers and %u workers killed; "
                "%" PRIu64 " twice, %" PRIu64 " lost, %" PRIu64 " back from the dead; %" PRIu64
                " blocks freed, %" PRIu64 " handed back\n",
                sent, taken, consumer_kills_, worker_kills_, twice, lost, undelivered - lost,
                recovery_.totals().freed, recovery_.totals().returned);
    expect(sent > 1000, "hardly anything was sent");
    expect(consumer_kills_ > 0, "nobody was killed");
    expect(twice == 0, "S1: messages were delivered twice");
    expect(lost == 0, "S2: messages of the living were lost");
    expect(undelivered <= consumer_kills_, "S2: more undelivered than deaths");
    expect(!recovery_.busy(), "S3: recovery does not come to an end");
    std::string problem;
    expect(world_.segment().verify(problem), problem.c_str());
    for (uint32_t row = 2; row < world_.segment().geometry().processes; ++row) {
      const auto process = static_cast<ProcessIndex>(row);
      if (blocks_waiting_free(world_.segment(), process) == blocks_used(world_.segment(), process)) continue;
      expect(false, ("S3: row " + std::to_string(row) + " has lost blocks").c_str());
    }
    return right ? 0 : 1;
  }

 private:
  // Until that many more were taken: there is no message without somebody going on (S4).
  void wait_for_messages(uint64_t more) {
    const auto taken = [this] {
      uint64_t sum = 0;
      for (const auto& each : ledger_->taken) sum += each.load();
      return sum;
    };
    const uint64_t enough = taken() + more;
    const uint64_t deadline = now_ms() + 20'000;
    while (taken() < enough) {
      if (now_ms() > deadline) fail("no message is taken any more");
      master_.bell.fall_asleep_in_futex();
      master_.bell.sleep_in_futex(std::chrono::microseconds(200));
    }
  }

  struct Child {
    ProcessName name;
    Role role{};
    uint32_t number = 0;
  };

  void start(Role role, uint32_t number) {
    std::optional<ProcessName> name;
    const uint64_t deadline = now_ms() + 20'000;
    while (!(name = world_.table().reserve(role, number))) {
      if (now_ms() > deadline) fail("no row is given back");
      static_cast<void>(recovery_.advance());
      sched_yield();
    }
    if (role == Role::kWorker) {
      workers_.resize(kWorkers);
      workers_[number] = *name;
    }
    const pid_t pid = fork();
    if (pid < 0) fail("no child");
    if (pid == 0) {
      if (role == Role::kWorker) live_as_worker(world_, *ledger_, *name, number);
      live_as_consumer(world_, *ledger_, *name, number, workers_);
    }
    world_.table().set_live(*name, static_cast<uint32_t>(pid), 0);
    children_[pid] = {*name, role, number};
  }

  void bury(pid_t pid, int signal) {
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) fail("a child is gone already");
    gone(pid, status, signal);
  }
  void gone(pid_t pid, int status, int signal) {
    if (WIFSIGNALED(status) ? WTERMSIG(status) != signal : WEXITSTATUS(status) != 0) fail("a child failed");
    recovery_.on_death(children_[pid].name);
    children_.erase(pid);
  }

  World world_{storm_geometry()};
  Member master_{world_, world_.join(Role::kMaster)};
  Recovery recovery_{master_.layer};
  Ledger* ledger_ = nullptr;
  std::map<pid_t, Child> children_;
  std::vector<ProcessName> workers_;
  std::mt19937 random_;
  uint32_t consumer_kills_ = 0;
  uint32_t worker_kills_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc > 1 ? std::atoi(argv[1]) : 10;
  const auto seed = static_cast<uint32_t>(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : std::random_device()());
  std::printf("kill storm: %d s, seed %u\n", seconds, seed);
  std::fflush(stdout);
  Storm storm(seed);
  storm.rage(std::chrono::seconds(seconds));
  storm.calm();
  return storm.count();
}
