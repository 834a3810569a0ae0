// shm/doorbell.cc -- the bits, the datagram and the futex of doorbell.h.
#include "shm/doorbell.h"

#include <linux/futex.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <system_error>

namespace sluice::shm {
namespace {

constexpr uint32_t kOneSleep = 4;  // D5: the count starts above the two bits

struct Address {
  sockaddr_un name{};
  socklen_t length = 0;
};

// The abstract name of a process's bell: "\0sluice-<instance, 16 hex>-<process index>".
Address address_of(uint64_t instance, ProcessIndex process) noexcept {
  Address address;
  address.name.sun_family = AF_UNIX;
  const int written =
      std::snprintf(address.name.sun_path + 1, sizeof address.name.sun_path - 1, "sluice-%016llx-%u",
                    static_cast<unsigned long long>(instance), static_cast<unsigned>(process));
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + written);
  return address;
}

Fd make_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw std::system_error(errno, std::generic_category(), "doorbell socket");
  return fd;
}

// Datagrams that sleepers have not read yet are charged to the ringer. True when so many are out
// that it was our own buffer, not the sleeper's, that refused one more.
bool is_used_up(int ringer) noexcept {
  int unread_bytes = 0;
  int buffer_bytes = 0;
  socklen_t length = sizeof buffer_bytes;
  return ::ioctl(ringer, SIOCOUTQ, &unread_bytes) == 0 &&
         ::getsockopt(ringer, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, &length) == 0 &&
         unread_bytes >= buffer_bytes;
}

long futex(HalfWord& word, int operation, uint32_t value, const timespec* timeout) noexcept {
  // Without FUTEX_PRIVATE_FLAG: the word is shared between processes.
  return ::syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), operation, value, timeout, nullptr, 0);
}

}  // namespace

DoorbellSockets make_doorbell(uint64_t instance, ProcessIndex process) {
  DoorbellSockets sockets{make_socket(), make_socket()};
  const Address address = address_of(instance, process);
  if (::bind(sockets.bell.get(), reinterpret_cast<const sockaddr*>(&address.name), address.length) != 0) {
    throw std::system_error(errno, std::generic_category(), "binding a doorbell");
  }
  return sockets;
}

Doorbell::Doorbell(const Segment& segment, ProcessIndex me, DoorbellSockets sockets)
    : segment_(segment),
      word_([&]() -> HalfWord& {
        ProcessRecord* record = segment.process(me);
        CHECK(record != nullptr);
        return record->doorbell;
      }()),
      sockets_(std::move(sockets)) {}

// Counts the sleep and says which. Only we add to the count; ringers only clear.
static void say_asleep(HalfWord& word, uint32_t bit) noexcept {
  using enum std::memory_order;
  uint32_t seen = word.load(relaxed);  // the compare-exchange finds out
  while (!word.compare_exchange_weak(seen, (seen + kOneSleep) | bit, seq_cst, relaxed)) {
  }
  std::atomic_thread_fence(seq_cst);  // [F] pairs with [F] in ring(): they see the bit, or we the block
}

void Doorbell::fall_asleep_in_poll() noexcept { say_asleep(word_, kAsleepInPoll); }

void Doorbell::wake_up(bool readable) noexcept {
  // Ringers write first, then clear (D1). A bit still there: nobody wrote, or one is between the two
  // or died there; its datagram is found by a later look.
  const uint32_t seen = word_.fetch_and(~kAsleepInPoll, std::memory_order::seq_cst);
  const bool rung = (seen & kAsleepInPoll) == 0;
  if (!rung && !readable && ++unread_wake_ups_ % 16 != 0) return;
  unread_wake_ups_ = 0;

  // Several ringers may have met the same bit: a handful in one call. More than that makes the next
  // poll return at once, and we are here again.
  std::array<mmsghdr, 8> datagrams{};
  while (::recvmmsg(sockets_.bell.get(), datagrams.data(), datagrams.size(), MSG_DONTWAIT, nullptr) < 0 &&
         errno == EINTR) {
  }
}

void Doorbell::fall_asleep_in_futex() noexcept { say_asleep(word_, kAsleepInFutex); }

void Doorbell::sleep_in_futex(std::chrono::nanoseconds timeout) noexcept {
  using enum std::memory_order;
  const uint32_t seen = word_.load(seq_cst);
  if ((seen & kAsleepInFutex) != 0 && timeout.count() > 0) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
    const timespec left{.tv_sec = static_cast<time_t>(seconds.count()),
                        .tv_nsec = static_cast<long>((timeout - seconds).count())};
    futex(word_, FUTEX_WAIT, seen, &left);  // returns at once if a ringer has cleared the bit since
  }
  stay_awake();
}

void Doorbell::stay_awake() noexcept { word_.fetch_and(~kAsleepInFutex, std::memory_order::seq_cst); }

bool Doorbell::ring(ProcessIndex process) noexcept {
  using enum std::memory_order;
  ProcessRecord* record = segment_.process(process);
  if (record == nullptr) return false;
  HalfWord& word = record->doorbell;
  std::atomic_thread_fence(seq_cst);  // [F] pairs with [F] in say_asleep()
  uint32_t seen = word.load(seq_cst);
  bool rung = false;
  if ((seen & kAsleepInPoll) != 0) {
    ring_socket(process, word, seen);
    rung = true;
  }
  while ((seen & kAsleepInFutex) != 0) {  // only this sleep's bit: its count stands in `seen`
    if (!word.compare_exchange_weak(seen, seen & ~kAsleepInFutex, seq_cst, seq_cst)) continue;
    CRASH_POINT(ring_futex_cleared);  // asleep with no bit: recovery wakes it, ring_surely()
    futex(word, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr);  // D2
    ++rings_;
    rung = true;
    break;
  }
  return rung;
}

void Doorbell::ring_socket(ProcessIndex process, HalfWord& word, uint32_t seen) noexcept {
  using enum std::memory_order;
  const Address address = address_of(segment_.instance(), process);
  ssize_t sent = -1;
  do {
    sent = ::sendto(sockets_.ringer.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address.name), address.length);
  } while (sent < 0 && errno == EINTR);
  ++rings_;
  // Refused because the sleeper's buffer is full: it is readable already (D3). Because nobody has
  // the bell: nobody sleeps. Because our own buffer is full: the bit stays, the next ring tries again.
  if (sent < 0 && errno == EAGAIN && is_used_up(sockets_.ringer.get())) return;
  CRASH_POINT(ring_written);  // the bit stands: the next ringer rings once more
  word.compare_exchange_strong(seen, seen & ~kAsleepInPoll, seq_cst, relaxed);  // D1; fails: D5
}

void Doorbell::ring_surely(ProcessIndex process) noexcept {
  ProcessRecord* record = segment_.process(process);
  if (record == nullptr) return;
  ring_socket(process, record->doorbell, record->doorbell.load(std::memory_order::seq_cst));
  record->doorbell.fetch_and(~kAsleepInFutex, std::memory_order::seq_cst);  // D2
  futex(record->doorbell, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr);
  ++rings_;
}

}  // namespace sluice::shm
