// tools/bench/shm/reclaim.cc -- from a consumer's SIGKILL to everything it held reclaimed, in a segment
// whose blocks are all in use.
//
//   the worker    half of the blocks, its own; it sleeps in an event loop, and takes back what was its
//   the victim    kVictimBlocks of its own, a channel's capacity of the worker's messages in hand, half
//                 as many unread in its inbox
//   a bystander   the rest
//   an idler      a message's worth; it dies first
//
// Time runs from the victim's pidfd becoming readable (a large process takes longer to die) until its
// row can be used again and the worker has freed every message that came back. The idler dies before, with
// nothing in hand: the first look at pages that only others have touched is the kernel's to pay for, in a
// virtual machine the host's, and is told by itself, `first_us`.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <stdexcept>

#include "shm/clock.h"
#include "tools/bench/shm/layer_queue.h"
#include "tools/bench/shm/measurements.h"
#include "tools/bench/shm/processes.h"

namespace sluice::bench {
namespace {

using enum std::memory_order;

constexpr uint32_t kVictimBlocks = 4096;  // of a class, as a gateway gives a consumer
constexpr uint32_t kInHand = limits::kChannelCapacity;
constexpr uint32_t kUnread = kInHand / 2;
constexpr size_t kBytes = 400;  // with its header in a block of the smallest class

struct Stage {
  std::atomic<uint32_t> sent{0};    // by the worker, on the channel
  std::atomic<uint32_t> taken{0};   // by the victim
  std::atomic<uint32_t> posted{0};  // by the worker, to the victim's inbox
  std::atomic<bool> victim_ready{false};
  std::atomic<bool> idler_ready{false};
  std::atomic<uint32_t> returned{0};  // to the worker, and freed by it
  std::atomic<bool> over{false};
};

// So many blocks of the smallest class, each used once and in our stock then.
void use_all_blocks(shm::ChannelLayer& layer, uint32_t blocks) {
  std::vector<shm::BlockIndex> claimed;
  for (uint32_t i = 0; i < blocks; ++i) {
    const auto block = layer.pool().try_claim(1);
    if (!block) throw std::runtime_error("no block left to use");
    claimed.push_back(*block);
  }
  for (const shm::BlockIndex block : claimed) layer.free_block(block);
}

void live_as_worker(tests::World& world, shm::ProcessName me, shm::ProcessName victim,
                    Stage& stage) {
  tests::Member member(world, me);
  shm::ChannelLayer& layer = member.layer;
  use_all_blocks(layer, world.segment().blocks_of(me.index)[0]);
  const uint32_t channel = layer.channels().open("bench").value();
  const std::string bytes(kBytes, 'x');
  for (uint32_t i = 0; i < kInHand; ++i) {
    if (!member.send(channel, bytes).ok()) throw std::runtime_error("no room in the channel");
  }
  stage.sent.store(kInHand, release);
  while (stage.taken.load(acquire) < kInHand) sched_yield();
  for (uint32_t i = 0; i < kUnread; ++i) {
    if (!member.send_to(victim, bytes).ok()) throw std::runtime_error("no room in the inbox");
  }
  stage.posted.store(kUnread, release);

  shm::Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {.fd = member.bell.poll_fd()}};
  epoll_ctl(epoll.get(), EPOLL_CTL_ADD, member.bell.poll_fd(), &event);
  shm::ProcessRecord& row = *world.segment().process(me.index);
  uint64_t seen = 0;
  while (!stage.over.load(acquire)) {
    // What worker/dispatcher.cc does: act on the deaths, say so, take back what was ours.
    if (const uint64_t deaths = world.segment().header().deaths.load(acquire); deaths != seen) {
      seen = deaths;
      row.seen_deaths.store(seen, release);
    }
    uint32_t back = 0;
    while (const std::optional<shm::Delivery> delivery = layer.try_receive()) {
      if (delivery->returned() != shm::Returned::kNo) ++back;
    }
    stage.returned.fetch_add(back, acq_rel);
    member.bell.fall_asleep_in_poll();
    if (layer.anything_waiting() || world.segment().header().deaths.load(acquire) != seen) {
      member.bell.wake_up();
      continue;
    }
    const int ready = epoll_wait(epoll.get(), &event, 1, 100);
    member.bell.wake_up(ready == 1);
  }
}

void live_as_victim(tests::World& world, shm::ProcessName me, Stage& stage) {
  tests::Member member(world, me);
  use_all_blocks(member.layer, kVictimBlocks);
  while (stage.sent.load(acquire) == 0) sched_yield();
  member.layer.start_reading(member.layer.channels().open("bench").value());
  for (uint32_t i = 0; i < kInHand; ++i) {
    std::optional<shm::Delivery> delivery = member.layer.try_receive();
    if (!delivery) throw std::runtime_error("nothing to take");
    static_cast<void>(delivery->keep());
  }
  stage.taken.store(kInHand, release);
  while (stage.posted.load(acquire) == 0) sched_yield();
  stage.victim_ready.store(true, release);
  for (;;) ::pause();
}

void live_as_idler(tests::World& world, shm::ProcessName me, Stage& stage) {
  tests::Member member(world, me);
  stage.idler_ready.store(true, release);
  for (;;) ::pause();
}

// Ends when the process that `pid` was is gone. Microseconds from SIGKILL to that.
double kill_and_see(pid_t pid) {
  const shm::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  pollfd dead{pidfd.get(), POLLIN, 0};
  const uint64_t killed = shm::now_ns();
  kill(pid, SIGKILL);
  if (::poll(&dead, 1, 10'000) != 1) throw std::runtime_error("a process did not die");
  const uint64_t gone = shm::now_ns();
  waitpid(pid, nullptr, 0);
  return static_cast<double>(gone - killed) / 1e3;
}

// Until the row of `dead` can be used again and the worker has back what was its. Microseconds.
double recover(shm::Recovery& recovery, shm::ProcessName dead, uint32_t back, const Stage& stage) {
  const uint64_t begun = shm::now_ns();
  const uint64_t last = begun + uint64_t{kLongestSeconds} * 1'000'000'000u;
  recovery.on_death(dead);
  bool row_free = false;
  while (!row_free || stage.returned.load(acquire) < back) {
    for (const shm::ProcessName& name : recovery.advance()) row_free |= name == dead;
    if (shm::now_ns() > last) throw std::runtime_error("not everything was reclaimed");
  }
  return static_cast<double>(shm::now_ns() - begun) / 1e3;
}

}  // namespace

Figures reclaim(const Effort& effort) {
  if (effort.blocks < 4 * kVictimBlocks) throw std::invalid_argument("too few blocks");
  shm::Geometry geometry = bench_geometry();
  geometry.processes = 6;
  geometry.worker_processes = 1;
  const uint32_t worker_blocks = effort.blocks / 2;
  const uint32_t bystander_blocks = effort.blocks - worker_blocks - kVictimBlocks;
  geometry.worker_blocks = {worker_blocks, 2, 2, 2, 2, 2, 2, 2};
  geometry.other_blocks = {std::max(bystander_blocks, kVictimBlocks), 2, 2, 2, 2, 2, 2, 2};
  tests::World world(geometry);
  touch_pages(&world.segment().header(), world.segment().offsets().total);
  Shared<Stage> stage;
  const shm::ProcessName master = world.join(shm::Role::kMaster);
  const shm::ProcessName worker = world.join(shm::Role::kWorker);
  const shm::ProcessName victim = world.join(shm::Role::kConsumer);
  const shm::ProcessName bystander = world.join(shm::Role::kConsumer);
  const shm::ProcessName idler = world.join(shm::Role::kConsumer);
  tests::Member us(world, master);
  tests::Member beside(world, bystander);
  use_all_blocks(beside.layer, bystander_blocks);
  shm::Recovery recovery(us.layer);

  const pid_t worker_pid = start([&] { live_as_worker(world, worker, victim, *stage); });
  const pid_t victim_pid = start([&] { live_as_victim(world, victim, *stage); });
  const pid_t idler_pid = start([&] { live_as_idler(world, idler, *stage); });
  while (!stage->victim_ready.load(acquire) || !stage->idler_ready.load(acquire)) {
    if (waitpid(-1, nullptr, WNOHANG) != 0) throw std::runtime_error("a process ended early");
    sched_yield();
  }
  kill_and_see(idler_pid);
  const double first_us = recover(recovery, idler, 0, *stage);
  uint32_t used = 0;
  for (uint32_t row = 1; row < geometry.processes; ++row) {
    used += tests::blocks_used(world.segment(), static_cast<shm::ProcessIndex>(row));
  }
  const double death_us = kill_and_see(victim_pid);
  const double reclaimed_us = recover(recovery, victim, kInHand + kUnread, *stage);

  stage->over.store(true, release);
  us.bell.ring(worker.index);
  wait_for({worker_pid});
  std::string problem;
  if (!world.segment().verify(problem)) throw std::runtime_error(problem);
  return {{"us", reclaimed_us},
          {"first_us", first_us},
          {"death_us", death_us},
          {"blocks", used},
          {"held", kVictimBlocks + kInHand + kUnread}};
}

}  // namespace sluice::bench
