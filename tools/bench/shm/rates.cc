// tools/bench/shm/rates.cc -- messages through one thread, and from processes to processes.
#include <stdexcept>
#include <string>

#include "shm/clock.h"
#include "tools/bench/shm/layer_queue.h"
#include "tools/bench/shm/measurements.h"
#include "tools/bench/shm/other_queues.h"
#include "tools/bench/shm/per_cell_queue.h"
#include "tools/bench/shm/processes.h"
#include "tools/bench/shm/robust_ring.h"

namespace sluice::bench {
namespace {

using enum std::memory_order;

template <class Queue>
double one_thread_ns(uint64_t messages) {
  stay_on(cpus(), 0);
  Queue queue;
  auto&& end = queue.reader(0);
  Message out;
  Message in;
  uint64_t sum = 0;
  const auto pass = [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      ++out.number;
      if (!end.try_send(out) || !end.try_receive(in))
        throw std::runtime_error("a message was refused");
      sum += in.number;
    }
  };
  pass(messages / 10);  // caches and predictors
  const uint64_t begun = shm::now_ns();
  pass(messages);
  const uint64_t ended = shm::now_ns();
  if (sum != out.number * (out.number + 1) / 2) throw std::runtime_error("not the messages sent");
  return static_cast<double>(ended - begun) / static_cast<double>(messages);
}

// What the processes of one measurement share beside the queue.
struct Run {
  StartLine line;
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> sum{0};
  std::atomic<uint64_t> begun_ns{0};
  std::atomic<uint64_t> ended_ns{0};
};

template <class Queue>
void send_all(Queue& queue, uint32_t number, uint64_t first, uint64_t end_number, Run& run) {
  auto&& end = queue.sender(number);
  run.line.ready_and_wait();
  Message message;
  Patience patience;
  for (message.number = first; message.number < end_number; ++message.number) {
    while (!end.try_send(message)) patience.wait();
  }
}

template <class Queue>
void read_all(Queue& queue, uint32_t number, uint64_t messages, Run& run) {
  auto&& end = queue.reader(number);
  if constexpr (std::is_same_v<Queue, LayerQueue>) {
    for (uint32_t i = 0; i < 2; ++i) end.meet(queue.world().segment(), queue.sender_name(i));
  }
  run.line.ready_and_wait();
  Message message;
  Patience patience;
  uint64_t received = 0;  // and not yet told
  uint64_t sum = 0;
  while (run.received.load(relaxed) < messages) {  // relaxed: a count, looked at when nothing waits
    while (end.try_receive(message)) {
      ++received;
      sum += message.number;
    }
    if (received > 0) {
      run.sum.fetch_add(sum, relaxed);
      if (run.received.fetch_add(received, acq_rel) + received == messages) {
        run.ended_ns.store(shm::now_ns(), relaxed);
      }
      received = sum = 0;
    }
    patience.wait();
  }
}

template <class Queue>
double messages_per_second(uint32_t pairs, uint64_t messages) {
  Queue queue;
  Shared<Run> run;
  const std::vector<int> all = cpus();
  messages = messages / pairs * pairs;
  std::vector<pid_t> children;
  for (uint32_t i = 0; i < pairs; ++i) {
    const uint64_t first = messages / pairs * i;
    children.push_back(start([&, i] {
      stay_on(all, i);
      send_all(queue, i, first, first + messages / pairs, *run);
    }));
    children.push_back(start([&, i] {
      stay_on(all, pairs == 1 ? all.size() - 1 : i + 1);
      read_all(queue, i, messages, *run);
    }));
  }
  run->line.go_when_ready(2 * pairs);
  run->begun_ns.store(shm::now_ns(), relaxed);
  wait_for(children);
  if (run->received.load(acquire) != messages ||
      run->sum.load(relaxed) != messages * (messages - 1) / 2) {
    throw std::runtime_error("not the messages sent");
  }
  const uint64_t taken = run->ended_ns.load(relaxed) - run->begun_ns.load(relaxed);
  return static_cast<double>(messages) * 1e9 / static_cast<double>(taken);
}

// Calls `measure` with the type that carries messages under that name.
template <class Measure>
double with_carrier(std::string_view carrier, Measure measure) {
  if (carrier == "layer") return measure.template operator()<LayerQueue>();
  if (carrier == "per_cell") return measure.template operator()<PerCellQueue>();
  if (carrier == "robust") return measure.template operator()<RobustRing>();
  if (carrier == "boost") return measure.template operator()<BoostQueue>();
  if (carrier == "socket") return measure.template operator()<SocketPair>();
  throw std::invalid_argument("no carrier " + std::string(carrier));
}

}  // namespace

Figures one_thread(std::string_view carrier, const Effort& effort) {
  return {{"ns", with_carrier(carrier, [&]<class Queue>() {
             return one_thread_ns<Queue>(effort.messages);
           })}};
}

Figures processes(std::string_view carrier, uint32_t pairs, const Effort& effort) {
  return {{"per_s", with_carrier(carrier, [&]<class Queue>() {
             return messages_per_second<Queue>(pairs, effort.messages);
           })}};
}

}  // namespace sluice::bench
