// tools/bench/shm/hand_off.cc -- one way from a process to another on another CPU: there and back,
// halved. The reader spins, sleeps in a call, or sleeps in an event loop; beside each the bare
// instrument it is made of.
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <stdexcept>
#include <string>

#include "shm/clock.h"
#include "tools/bench/shm/layer_queue.h"
#include "tools/bench/shm/measurements.h"
#include "tools/bench/shm/processes.h"

namespace sluice::bench {
namespace {

using enum std::memory_order;

constexpr auto kLongSleep = std::chrono::seconds(10);  // nobody's wake-up is lost

// ---- the bare instruments: a turn is handed from side 0 to side 1 and back --------------------------

// One line both write and both spin on.
struct Line {
  struct alignas(64) Word {
    std::atomic<uint64_t> turn{0};
  };
  struct End {
    Word& word;
    uint64_t side;
    void pass() noexcept { word.turn.fetch_add(1, acq_rel); }  // [W]
    void wait() noexcept {
      while (word.turn.load(acquire) % 2 != side) pause();  // [W]
    }
  };
  End end(uint64_t side) noexcept { return {*word, side}; }
  Shared<Word> word;
};

// A futex for each side: its word says that the turn has come.
struct Futex {
  struct alignas(64) Word {
    std::atomic<uint32_t> come{0};
  };
  struct Words {
    std::array<Word, 2> of;
  };
  struct End {
    Words& words;
    uint64_t side;
    void pass() noexcept {
      words.of[1 - side].come.store(1, release);  // [T]
      syscall(SYS_futex, &words.of[1 - side].come, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
    void wait() noexcept {
      while (words.of[side].come.exchange(0, acq_rel) == 0) {  // [T]
        syscall(SYS_futex, &words.of[side].come, FUTEX_WAIT, 0, nullptr, nullptr, 0);
      }
    }
  };
  End end(uint64_t side) noexcept { return {*words, side}; }
  Shared<Words> words;
};

shm::Fd polled(int fd) {
  shm::Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (!epoll || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll");
  }
  return epoll;
}

// An eventfd for each side, watched with epoll as an event loop does.
struct Eventfd {
  Eventfd() {
    for (shm::Fd& fd : fds) {
      fd = shm::Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
      if (!fd) throw std::system_error(errno, std::generic_category(), "eventfd");
    }
  }
  struct End {
    int mine;
    int others;
    shm::Fd epoll;
    void pass() noexcept {
      if (eventfd_write(others, 1) != 0) _exit(1);
    }
    void wait() noexcept {
      epoll_event event;
      while (epoll_wait(epoll.get(), &event, 1, -1) != 1) {
      }
      eventfd_t value = 0;
      eventfd_read(mine, &value);
    }
  };
  End end(uint64_t side) { return {fds[side].get(), fds[1 - side].get(), polled(fds[side].get())}; }
  std::array<shm::Fd, 2> fds;
};

// ---- the layer: a message to the other's inbox, and its own from there -----------------------------

enum class Waiting { kSpin, kFutex, kPoll };

template <Waiting kWaiting>
struct Layer {
  struct End {
    LayerEnd end;
    shm::ProcessName other;
    shm::Fd epoll;
    uint64_t number = 0;

    End(LayerQueue& queue, uint64_t side)
        : end(side == 0 ? queue.sender(0) : queue.reader(0)),
          other(side == 0 ? queue.reader_name(0) : queue.sender_name(0)),
          epoll(polled(end.doorbell().poll_fd())) {
      end.meet(queue.world().segment(), other);
    }

    void pass() noexcept {
      Result<shm::Claim> claim = end.layer().claim(sizeof number);
      if (!claim.ok()) _exit(1);
      std::memcpy(claim->space().data(), &++number, sizeof number);
      if (!end.layer().send_to(other, *claim, sizeof number, {}).ok()) _exit(1);
      end.layer().ring();
    }
    bool take() noexcept {
      const std::optional<shm::Delivery> delivery = end.layer().try_receive();
      if (!delivery) return false;
      std::memcpy(&number, delivery->content().data(), sizeof number);
      return true;
    }
    void wait() noexcept {
      while (!take()) {
        if constexpr (kWaiting == Waiting::kSpin) pause();
        if constexpr (kWaiting == Waiting::kFutex) sleep_in_call();
        if constexpr (kWaiting == Waiting::kPoll) sleep_in_loop();
      }
    }
    void sleep_in_call() noexcept {
      end.doorbell().fall_asleep_in_futex();
      if (end.layer().anything_waiting()) return end.doorbell().stay_awake();
      end.doorbell().sleep_in_futex(kLongSleep);
    }
    void sleep_in_loop() noexcept {
      end.doorbell().fall_asleep_in_poll();
      if (end.layer().anything_waiting()) return end.doorbell().wake_up();
      epoll_event event;
      const int ready = epoll_wait(epoll.get(), &event, 1, -1);
      end.doorbell().wake_up(ready == 1);
    }
  };
  End end(uint64_t side) { return End(queue, side); }
  LayerQueue queue;
};

// ---- there and back ------------------------------------------------------------------------------

struct Course {
  StartLine line;
  std::atomic<uint64_t> taken_ns{0};
};

template <class Instrument>
double one_way_ns(uint64_t rounds) {
  Instrument instrument;
  Shared<Course> course;
  const std::vector<int> all = cpus();
  const uint64_t warm = rounds / 10;
  std::vector<pid_t> children;
  children.push_back(start([&] {
    stay_on(all, 0);
    auto end = instrument.end(0);
    course->line.ready_and_wait();
    uint64_t begun = 0;
    for (uint64_t i = 0; i < warm + rounds; ++i) {
      if (i == warm) begun = shm::now_ns();
      end.pass();
      end.wait();
    }
    course->taken_ns.store(shm::now_ns() - begun, relaxed);  // read after we have ended
  }));
  children.push_back(start([&] {
    stay_on(all, all.size() - 1);
    auto end = instrument.end(1);
    course->line.ready_and_wait();
    for (uint64_t i = 0; i < warm + rounds; ++i) {
      end.wait();
      end.pass();
    }
  }));
  course->line.go_when_ready(2);
  wait_for(children);
  return static_cast<double>(course->taken_ns.load(relaxed)) / static_cast<double>(2 * rounds);
}

}  // namespace

Figures hand_off(std::string_view way, const Effort& effort) {
  const uint64_t rounds = effort.hand_offs;
  if (way == "line") return {{"ns", one_way_ns<Line>(rounds)}};
  if (way == "layer_spin") return {{"ns", one_way_ns<Layer<Waiting::kSpin>>(rounds)}};
  if (way == "futex") return {{"ns", one_way_ns<Futex>(rounds)}};
  if (way == "layer_futex") return {{"ns", one_way_ns<Layer<Waiting::kFutex>>(rounds)}};
  if (way == "eventfd") return {{"ns", one_way_ns<Eventfd>(rounds)}};
  if (way == "layer_poll") return {{"ns", one_way_ns<Layer<Waiting::kPoll>>(rounds)}};
  throw std::invalid_argument("no way " + std::string(way));
}

}  // namespace sluice::bench
