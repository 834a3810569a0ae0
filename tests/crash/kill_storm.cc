// tests/crash/kill_storm.cc -- workers and consumers speak through the real layer, on a shared channel,
// inboxes and reply rings, in single blocks and in chains, while their parent kills them at random,
// and now and then whoever recovers them; then it counts.
//
//   usage: kill_storm [seconds] [seed]
//
// S1  No message and no answer is delivered twice.
// S2  Of a worker that lived to the end, every message was delivered, or came back to it as taken by
//     one that died; those that were not delivered are at most as many as there were deaths.
// S3  At the end all blocks of all the dead are free, and Segment::verify() finds nothing.
// S4  Nobody waits for ever: readers sleep in their futex without a belt (a minute), every message of
//     a living worker is answered or comes back, and the storm ends in time.
// S5  The messages of a connection are seen in order, whoever reads them, and so are their answers.
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
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
constexpr uint32_t kConnections = 48;     // of a worker; each waits for its answer before it goes on
constexpr size_t kBytes = 440;            // with its header, a block of the smallest class
constexpr size_t kChainedBytes = kClassBytes[kClasses - 1] + kBytes;  // a block of the largest, and one
constexpr uint32_t kChainedEvery = 1024;
constexpr uint32_t kToInboxEvery = 4;
constexpr uint32_t kRows = 48;

// What became of a message.
enum Fate : uint8_t { kSent = 1, kDelivered = 2, kTwice = 4, kTakenByTheDead = 8, kAnswered = 16 };

// Beside the segment, in memory of the test's own.
struct Ledger {
  std::atomic<bool> stop_sending;
  std::atomic<bool> leave;
  std::atomic<bool> recovering;
  std::array<std::atomic<uint32_t>, kWorkers> next;
  std::array<std::atomic<uint64_t>, kConsumers> taken;
  std::array<std::atomic<uint32_t>, kWorkers> unanswered;  // connections that wait
  std::array<std::array<std::atomic<uint64_t>, kConnections>, kRows> last_seen;  // incarnation:32 | number:32
  std::atomic<uint64_t> chained, to_inboxes, answers, late, resent;
  std::array<std::array<std::atomic<uint8_t>, kMessages>, kWorkers> fate;

  void mark(uint32_t worker, uint32_t number, Fate what) {
    if ((fate[worker][number].fetch_or(what) & what) != 0) fate[worker][number].fetch_or(kTwice);
  }
};

struct Body {
  uint32_t worker;
  uint32_t number;
  uint64_t connection;
  std::array<uint64_t, 53> filling;

  static Body of(uint32_t worker, uint32_t number, uint32_t connection) {
    Body body{worker, number, connection, {}};
    body.filling.fill(uint64_t{worker} << 32 | number);
    return body;
  }
  friend bool operator==(const Body&, const Body&) = default;
};
static_assert(sizeof(Body) == kBytes);

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "kill storm: %s\n", what);
  std::abort();
}

// A chain begins and ends with the same body; what came back as taken may lack its end.
Body body_of(const Delivery& delivery) {
  const std::span<const std::byte> content = delivery.content();
  Body body{};
  if (content.size() < sizeof body) fail("a message is too short");
  std::memcpy(&body, content.data(), sizeof body);
  if (body.worker >= kWorkers || body.number >= kMessages || body.connection >= kConnections ||
      body != Body::of(body.worker, body.number, static_cast<uint32_t>(body.connection))) {
    fail("a message of mixed content");
  }
  if (delivery.returned() == Returned::kTaken) return body;
  Body end{};
  std::memcpy(&end, content.data() + content.size() - sizeof end, sizeof end);
  if ((content.size() != kBytes && content.size() != kChainedBytes) || end != body) fail("a message of mixed ends");
  return body;
}

class StormWorker {
 public:
  StormWorker(World& world, Ledger& ledger, ProcessName name, uint32_t worker)
      : world_(world), ledger_(ledger), worker_(worker), me_(world, name), slots_(world.segment(), name) {
    for (Connection& each : connections_) each.opened = slots_.open().value();
  }

  [[noreturn]] void live() {
    ProcessRecord& row = *world_.segment().process(me_.layer.me().index);
    while (!ledger_.leave.load()) {
      row.seen_deaths = world_.segment().header().deaths.load();
      while (const auto back = me_.layer.try_receive()) take_back(*back);
      while (const auto slot = slots_.next_ready()) {
        while (const auto answer = me_.layer.try_receive_reply(*slot)) take(*answer);
      }
      bool sent = false;
      uint32_t unanswered = 0;
      for (uint32_t c = 0; c < kConnections; ++c) {
        sent = go_on(c) || sent;
        unanswered += connections_[c].number != kNone;
      }
      ledger_.unanswered[worker_] = unanswered;
      me_.layer.ring();
      if (sent) continue;
      me_.bell.fall_asleep_in_futex();
      if (!me_.layer.anything_waiting() && !slots_.any_ready()) me_.bell.sleep_in_futex(std::chrono::milliseconds(1));
      me_.bell.stay_awake();
    }
    _exit(0);
  }

 private:
  static constexpr uint32_t kNone = ~0u;
  struct Connection {
    ConnectionSlots::Opened opened{};
    uint32_t number = kNone;  // of the message that has no answer yet
    bool to_send = false;     // it was not sent, or came back unread
    uint32_t last_answered = 0;
    std::optional<ProcessName> owner;  // who answered last
  };

  void take_back(const Delivery& back) {
    if (back.returned() == Returned::kNo) fail("a worker is sent what it did not send");
    const Body body = body_of(back);
    if (body.worker != worker_) fail("a worker gets another's message back");
    Connection& connection = connections_[body.connection];
    if (back.returned() == Returned::kTaken) {
      ledger_.mark(worker_, body.number, kTakenByTheDead);
      if (connection.number == body.number) connection.number = kNone;
    } else {
      if (connection.number != body.number || connection.to_send) fail("a message comes back unread twice");
      connection.to_send = true;
      ledger_.resent.fetch_add(1);
    }
  }

  [[nodiscard]] ReplyAddress address(const Connection& connection) const {
    const ProcessName me = me_.layer.me();
    return {me.index, me.incarnation, connection.opened.slot, connection.opened.generation, 0};
  }

  void take(const Delivery& answer) {
    const Body body = body_of(answer);
    // Meant for one that died in this row when its answerer was about to write: whoever reads a ring drops it.
    if (answer.about().incarnation != me_.layer.me().incarnation) {
      ledger_.late.fetch_add(1);
      return;
    }
    Connection& connection = connections_[body.connection];
    if (body.worker != worker_ || answer.about() != address(connection)) fail("another connection's answer");
    if (connection.last_answered != 0 && body.number <= connection.last_answered) fail("S5: answers out of order");
    connection.last_answered = body.number;
    ledger_.mark(worker_, body.number, kAnswered);
    ledger_.answers.fetch_add(1);
    if (connection.number == body.number) connection.number = kNone;
    connection.owner = me_.layer.processes().living(answer.header().sender);
  }

  // Sends the connection's next message, or again the one that came back.
  bool go_on(uint32_t c) {
    Connection& connection = connections_[c];
    if (connection.number == kNone) {
      if (ledger_.stop_sending.load()) return false;
      connection.number = ledger_.next[worker_].fetch_add(1);
      if (connection.number >= kMessages) fail("more messages than there is room to count");
      connection.to_send = true;
    }
    if (!connection.to_send) return false;
    const Body body = Body::of(worker_, connection.number, c);
    const bool chained = connection.number % kChainedEvery == 0;
    const size_t bytes = chained ? kChainedBytes : kBytes;
    auto claim = me_.layer.claim(bytes);
    if (!claim.ok()) return false;
    std::memcpy(claim->space().data(), &body, sizeof body);
    std::memcpy(claim->space().data() + bytes - sizeof body, &body, sizeof body);
    Route route{};
    route.about = address(connection);
    const bool to_inbox = connection.owner && connection.number % kToInboxEvery == 1 &&
                          me_.layer.send_to(*connection.owner, *claim, bytes, route).ok();
    if (!to_inbox) {
      const auto outcome = me_.layer.send(channel_, *claim, bytes, route);
      if (!outcome.ok() && outcome.error() != Error::kChannelFull && outcome.error() != Error::kOutOfBlocks) {
        fail("a send failed");
      }
      if (!outcome.ok()) return false;
    }
    (chained ? ledger_.chained : ledger_.to_inboxes).fetch_add(chained || to_inbox);
    ledger_.fate[worker_][connection.number].fetch_or(kSent);
    connection.to_send = false;
    return true;
  }

  World& world_;
  Ledger& ledger_;
  uint32_t worker_;
  Member me_;
  ConnectionSlots slots_;
  uint32_t channel_ = me_.layer.channels().open("http.request").value();
  std::array<Connection, kConnections> connections_;
};

// S5: of a worker's incarnation, a connection's numbers only grow.
void see_in_order(Ledger& ledger, const Delivery& delivery, const Body& body) {
  const ReplyAddress about = delivery.about();
  const uint64_t now = uint64_t{about.incarnation} << 32 | body.number;
  const uint64_t before = ledger.last_seen[about.worker][body.connection].exchange(now);
  if (before >> 32 == about.incarnation && before >= now) fail("S5: a connection's messages out of order");
}

[[noreturn]] void live_as_consumer(World& world, Ledger& ledger, ProcessName name, uint32_t consumer) {
  Member me(world, name);
  const uint32_t channel = me.layer.channels().open("http.request").value();
  me.layer.start_reading(channel);
  uint64_t turn = 0;
  for (;;) {
    while (const auto delivery = me.layer.try_receive()) {
      const Body body = body_of(*delivery);
      see_in_order(ledger, *delivery, body);
      ledger.mark(body.worker, body.number, kDelivered);
      ledger.taken[consumer].fetch_add(1);
      const std::string_view answer(reinterpret_cast<const char*>(&body), sizeof body);
      for (auto sent = me.reply(delivery->about(), answer); !sent.ok(); sent = me.reply(delivery->about(), answer)) {
        if (sent.error() == Error::kConnectionGone || ledger.leave.load()) break;
        if (sent.error() != Error::kOutOfBlocks && sent.error() != Error::kChannelFull) fail("a reply failed");
        me.layer.ring();
        sched_yield();
      }
      if (++turn % 16 == 0) me.layer.ring();
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
  geometry.processes = kRows;
  geometry.worker_processes = 12;
  geometry.channel_cells = 64;  // less than all that wait for an answer: full, too
  geometry.inbox_cells = 64;
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
      wait_for_messages(random_() % 100);
      auto victim = children_.begin();
      std::advance(victim, random_() % children_.size());
      const Child child = victim->second;
      if (child.role == Role::kWorker && (child.number == 0 || random_() % 4 != 0)) continue;
      kill(victim->first, SIGKILL);
      wait_dead(victim->first, SIGKILL);
      if (random_() % 8 == 0) kill_recovery_of(child.name);
      bury(victim->first);
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
    const auto unanswered = [this] {
      return std::any_of(ledger_->unanswered.begin(), ledger_->unanswered.end(), [](const auto& n) { return n != 0; });
    };
    const auto waiting = [&]() -> const char* {
      if (!world_.segment().channel_queue(channel).empty()) return "messages still wait: no reader was woken";
      if (unanswered()) return "a worker still waits for an answer";
      return recovery_.busy() ? "recovery still waits" : nullptr;
    };
    while (const char* what = waiting()) {
      if (now_ms() > deadline) fail(what);
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
      if (pid > 0) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("a child failed");
        bury(pid);
      }
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
    std::printf("%" PRIu64 " messages sent, %" PRIu64 " chained, %" PRIu64 " to inboxes; %" PRIu64 " taken, %" PRIu64
                " answered, %" PRIu64
                " too late; %u consumers, %u workers and %u recoveries killed; %" PRIu64 " twice, %" PRIu64
                " lost, %" PRIu64 " in the hands of the dead, %" PRIu64 " sent again; %" PRIu64
                " blocks freed, %" PRIu64 " handed back\n",
                sent, ledger_->chained.load(), ledger_->to_inboxes.load(), taken, ledger_->answers.load(),
                ledger_->late.load(),
                consumer_kills_, worker_kills_, recovery_kills_, twice, lost, undelivered - lost, ledger_->resent.load(),
                recovery_.totals().freed, recovery_.totals().returned);
    expect(sent > 1000, "hardly anything was sent");
    expect(consumer_kills_ > 0, "nobody was killed");
    expect(ledger_->chained > 0 && ledger_->to_inboxes > 0 && ledger_->answers > 0, "not every kind was sent");
    expect(twice == 0, "S1: messages or answers were delivered twice");
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
    if (role == Role::kWorker) ledger_->unanswered[number] = 0;
    const pid_t pid = fork();
    if (pid < 0) fail("no child");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody is left behind by a storm that fails
      // By itself too: a worker whose parent is late would send what nobody may answer yet.
      world_.table().set_live(*name, static_cast<uint32_t>(getpid()), 0);
      if (role == Role::kWorker) std::make_unique<StormWorker>(world_, *ledger_, *name, number)->live();
      live_as_consumer(world_, *ledger_, *name, number);
    }
    world_.table().set_live(*name, static_cast<uint32_t>(pid), 0);
    children_[pid] = {*name, role, number};
  }

  void wait_dead(pid_t pid, int signal) {
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != signal) fail("a child failed");
  }
  void bury(pid_t pid) {
    recovery_.on_death(children_.at(pid).name);
    children_.erase(pid);
  }

  // Somebody begins to recover the dead one and is killed at it: the master does it all again.
  void kill_recovery_of(ProcessName dead) {
    const std::optional<ProcessName> name = world_.table().reserve(Role::kConsumer, kConsumers);
    if (!name) return;
    world_.table().set_live(*name, static_cast<uint32_t>(getpid()), 0);
    const pid_t pid = fork();
    if (pid < 0) fail("no child");
    if (pid == 0) {
      Member me(world_, *name);
      ledger_->recovering = true;
      Recovery(me.layer).on_death(dead);
      for (;;) pause();
    }
    while (!ledger_->recovering.load()) sched_yield();
    for (auto i = random_() % 20'000; i > 0; --i) std::atomic_signal_fence(std::memory_order::seq_cst);
    kill(pid, SIGKILL);
    wait_dead(pid, SIGKILL);
    ledger_->recovering = false;
    recovery_.on_death(*name);
    ++recovery_kills_;
  }

  World world_{storm_geometry()};
  Member master_{world_, world_.join(Role::kMaster)};
  Recovery recovery_{master_.layer};
  Ledger* ledger_ = nullptr;
  std::map<pid_t, Child> children_;
  std::mt19937 random_;
  uint32_t consumer_kills_ = 0;
  uint32_t worker_kills_ = 0;
  uint32_t recovery_kills_ = 0;
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
  const int failed = storm.count();
  std::printf("%d passed, %d failed\n", 1 - failed, failed);
  return failed;
}
