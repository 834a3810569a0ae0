// tools/bench/shm/wake_ups.cc -- how often a reader that sleeps when nothing waits is woken, by one
// sender that keeps a pace or goes as fast as it can.
#include <stdexcept>

#include "shm/clock.h"
#include "tools/bench/shm/layer_queue.h"
#include "tools/bench/shm/measurements.h"
#include "tools/bench/shm/processes.h"

namespace sluice::bench {
namespace {

using enum std::memory_order;

constexpr auto kLongSleep = std::chrono::seconds(10);  // nobody's wake-up is lost

struct Counts {
  StartLine line;
  std::atomic<uint64_t> rings{0};
  std::atomic<uint64_t> sleeps{0};
  std::atomic<uint64_t> taken_ns{0};
};

void send_at_pace(LayerEnd& end, uint64_t messages, uint64_t per_second, Counts& counts) {
  counts.line.ready_and_wait();
  const uint64_t begun = shm::now_ns();
  Message message;
  Patience patience;
  for (message.number = 1; message.number <= messages; ++message.number) {
    if (per_second != 0) {
      const uint64_t due = begun + message.number * 1'000'000'000u / per_second;
      while (shm::now_ns() < due) pause();
    }
    while (!end.try_send(message)) patience.wait();
  }
  counts.taken_ns.store(shm::now_ns() - begun, relaxed);  // read after we have ended, as the next
  counts.rings.store(end.doorbell().rings(), relaxed);
}

void read_and_sleep(LayerEnd& end, uint64_t messages, Counts& counts) {
  counts.line.ready_and_wait();
  Message message;
  uint64_t sleeps = 0;
  for (uint64_t received = 0; received < messages;) {
    if (end.try_receive(message)) {
      if (message.number != ++received) throw std::runtime_error("not the message sent");
      continue;
    }
    end.layer().wait_on_channels();
    end.doorbell().fall_asleep_in_futex();
    if (end.layer().anything_waiting()) {
      end.doorbell().stay_awake();
    } else {
      ++sleeps;
      end.doorbell().sleep_in_futex(kLongSleep);
    }
    end.layer().stop_waiting();
  }
  counts.sleeps.store(sleeps, relaxed);  // read after we have ended
}

}  // namespace

Figures wake_ups(uint64_t per_second, const Effort& effort) {
  // A fifth of a second, or as many messages as a rate is measured with.
  const uint64_t messages =
      per_second != 0 ? std::min(per_second / 5, effort.messages) : effort.messages;
  LayerQueue queue;
  Shared<Counts> counts;
  const std::vector<int> all = cpus();
  std::vector<pid_t> children;
  children.push_back(start([&] {
    stay_on(all, 0);
    LayerEnd end = queue.sender(0);
    send_at_pace(end, messages, per_second, *counts);
  }));
  children.push_back(start([&] {
    stay_on(all, all.size() - 1);
    LayerEnd end = queue.reader(0);
    end.meet(queue.world().segment(), queue.sender_name(0));
    read_and_sleep(end, messages, *counts);
  }));
  counts->line.go_when_ready(2);
  wait_for(children);
  const auto sent = static_cast<double>(messages);
  return {{"rings", static_cast<double>(counts->rings.load(relaxed)) / sent},
          {"sleeps", static_cast<double>(counts->sleeps.load(relaxed)) / sent},
          {"per_s", sent * 1e9 / static_cast<double>(counts->taken_ns.load(relaxed))}};
}

}  // namespace sluice::bench
