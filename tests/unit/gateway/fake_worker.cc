// tests/unit/gateway/fake_worker.cc -- stands in for worker/worker.cc: maps its arena, says so, and
// obeys the master's orders.
#include "tests/unit/gateway/fake_worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <set>
#include <string>

#include "shm/attach.h"
#include "worker/worker.h"

namespace sluice {
namespace tests {
namespace {

struct Done {
  std::atomic<int> pid, starts, drained, replaced, accept_from, stop_accept_from, arenas, access_logs;
  std::atomic<bool> ok, attached, sealed;
};
struct Shared {
  std::array<Done, 4> workers;
  std::atomic<bool> hold_starts, die_at_start, ignore_orders;
};

Shared& shared() {
  static Shared* const memory = static_cast<Shared*>(
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *memory;
}

// Every descriptor open is one that was handed over.
bool only_these_open(const Inheritance& inheritance) {
  std::set<int> expected = {0,
                            1,
                            2,
                            inheritance.master_socket,
                            inheritance.own_arena,
                            inheritance.doorbell.bell.get(),
                            inheritance.doorbell.ringer.get(),
                            inheritance.segment->memfd()};
  if (inheritance.access_log >= 0) expected.insert(inheritance.access_log);
  for (const InheritedListener& listener : inheritance.listeners) expected.insert(listener.fd);
  for (int fd = 0; fd < 1024; ++fd) {
    const bool open = ::fcntl(fd, F_GETFD) >= 0;
    if (open && !expected.contains(fd)) return false;
    if (!open && fd > 2 && expected.contains(fd)) return false;
  }
  return true;
}

}  // namespace

FakeWorkers::FakeWorkers() {
  for (Done& done : shared().workers) {
    for (std::atomic<int>* number : {&done.pid, &done.starts, &done.drained, &done.replaced,
                                     &done.arenas, &done.access_logs})
      *number = 0;
    done.accept_from = done.stop_accept_from = -1;
    done.ok = done.attached = done.sealed = false;
  }
  shared().hold_starts = shared().die_at_start = shared().ignore_orders = false;
}
pid_t FakeWorkers::pid(uint32_t number) const { return shared().workers[number].pid; }
int FakeWorkers::starts(uint32_t number) const { return shared().workers[number].starts; }
bool FakeWorkers::ok(uint32_t number) const { return shared().workers[number].ok; }
bool FakeWorkers::attached(uint32_t number) const { return shared().workers[number].attached; }
bool FakeWorkers::sealed_by_then(uint32_t number) const { return shared().workers[number].sealed; }
bool FakeWorkers::drained(uint32_t number) const { return shared().workers[number].drained > 0; }
bool FakeWorkers::replaced(uint32_t number) const { return shared().workers[number].replaced > 0; }
int FakeWorkers::last_accept_from(uint32_t number) const {
  return shared().workers[number].accept_from;
}
int FakeWorkers::last_stop_accept_from(uint32_t number) const {
  return shared().workers[number].stop_accept_from;
}
int FakeWorkers::arenas_seen(uint32_t number) const { return shared().workers[number].arenas; }
int FakeWorkers::access_logs_seen(uint32_t number) const {
  return shared().workers[number].access_logs;
}
void FakeWorkers::hold_starts(bool on) { shared().hold_starts = on; }
void FakeWorkers::die_at_start(bool on) { shared().die_at_start = on; }
void FakeWorkers::ignore_orders(bool on) { shared().ignore_orders = on; }

}  // namespace tests

int run_worker(Inheritance inheritance) {
  using shm::AttachWord;
  tests::Shared& all = tests::shared();
  tests::Done& done = all.workers[inheritance.number];
  if (all.die_at_start) return 1;
  while (all.hold_starts) {
    if (::poll(nullptr, 0, 1) < 0) return 1;
  }
  const bool mapped =
      ::mmap(nullptr, inheritance.segment->arena_bytes(inheritance.me.index),
             PROT_READ | PROT_WRITE, MAP_SHARED, inheritance.own_arena, 0) != MAP_FAILED;
  const shm::ProcessTable table(*inheritance.segment);
  done.ok = mapped && table.is_live(inheritance.me) && tests::only_these_open(inheritance) &&
            inheritance.listeners.at(inheritance.number).mine;
  shm::AttachPacket ready{};
  ready.word = AttachWord::kMapped;
  const std::string number = std::to_string(inheritance.number) + "\n";
  const auto write_line = [&](int log) { return ::write(log, number.data(), number.size()) > 0; };
  if (inheritance.access_log >= 0 && !write_line(inheritance.access_log)) return 1;
  done.pid = ::getpid();
  ++done.starts;
  if (!shm::send_packet(inheritance.master_socket, ready, {}).ok()) return 1;
  for (;;) {
    const Result<shm::Received> order = shm::receive_packet(inheritance.master_socket, -1);
    if (!order.ok()) return 0;
    const auto listener = static_cast<int>(order->packet.number);
    if (order->packet.word == AttachWord::kArena && order->fds.size() == 1) ++done.arenas;
    if (order->packet.word == AttachWord::kAccessLog && order->fds.size() == 1 &&
        write_line(order->fds.front().get())) {
      ++done.access_logs;
    }
    if (order->packet.word == AttachWord::kAttached) {
      done.sealed = shm::is_sealed_against_writers(inheritance.own_arena);
      done.attached = true;
    }
    if (all.ignore_orders) continue;
    if (order->packet.word == AttachWord::kAcceptFrom) done.accept_from = listener;
    if (order->packet.word == AttachWord::kStopAcceptFrom) done.stop_accept_from = listener;
    if (order->packet.word == AttachWord::kQuit) return 0;
    if (order->packet.word == AttachWord::kDrain) {
      ++done.drained;
      return 0;
    }
    if (order->packet.word == AttachWord::kMakeRoom) {
      ++done.replaced;
      return 0;
    }
  }
}

}  // namespace sluice
