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

#include "shm/doorbell_word.h"

namespace sluice::shm {
namespace {

using DoorbellWord = BasicDoorbellWord<HalfWord>;

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

void Doorbell::fall_asleep_in_poll() noexcept { DoorbellWord(word_).say_asleep(kAsleepInPoll); }

void Doorbell::wake_up(bool readable) noexcept {
  // A datagram of one who is between writing and clearing, or died there, is found by a later look.
  const bool rung = DoorbellWord(word_).wake_from_poll();
  if (!rung && !readable && ++unread_wake_ups_ % 16 != 0) return;
  unread_wake_ups_ = 0;

  // Several ringers may have met the same bit: a handful in one call. More than that makes the next
  // poll return at once, and we are here again.
  std::array<mmsghdr, 8> datagrams{};
  while (::recvmmsg(sockets_.bell.get(), datagrams.data(), datagrams.size(), MSG_DONTWAIT, nullptr) < 0 &&
         errno == EINTR) {
  }
}

void Doorbell::fall_asleep_in_futex() noexcept { DoorbellWord(word_).say_asleep(kAsleepInFutex); }

void Doorbell::sleep_in_futex(std::chrono::nanoseconds timeout) noexcept {
  DoorbellWord(word_).sleep_in_futex([&](uint32_t seen) {
    if (timeout.count() <= 0) return;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
    const timespec left{.tv_sec = static_cast<time_t>(seconds.count()),
                        .tv_nsec = static_cast<long>((timeout - seconds).count())};
    futex(word_, FUTEX_WAIT, seen, &left);  // returns at once if a ringer has cleared the bit since
  });
}

void Doorbell::stay_awake() noexcept { DoorbellWord(word_).wake_from_futex(); }

// The system calls of a ring, counted.
struct Doorbell::Calls {
  Doorbell& bell;
  ProcessIndex process;
  HalfWord& word;

  bool write() noexcept { return bell.write_datagram(process); }
  void wake() noexcept {
    futex(word, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr);
    ++bell.rings_;
  }
};

bool Doorbell::ring(ProcessIndex process) noexcept {
  ProcessRecord* record = segment_.process(process);
  if (record == nullptr) return false;
  return DoorbellWord(record->doorbell).ring(Calls{*this, process, record->doorbell});
}

bool Doorbell::write_datagram(ProcessIndex process) noexcept {
  const Address address = address_of(segment_.instance(), process);
  ssize_t sent = -1;
  do {
    sent = ::sendto(sockets_.ringer.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&address.name), address.length);
  } while (sent < 0 && errno == EINTR);
  ++rings_;
  // Refused because the sleeper's buffer is full: it is readable already (D3). Because nobody has
  // the bell: nobody sleeps. Because our own buffer is full: the bit stays, the next ring tries again.
  return sent >= 0 || errno != EAGAIN || !is_used_up(sockets_.ringer.get());
}

void Doorbell::ring_surely(ProcessIndex process) noexcept {
  ProcessRecord* record = segment_.process(process);
  if (record == nullptr) return;
  DoorbellWord(record->doorbell).ring_surely(Calls{*this, process, record->doorbell});
}

}  // namespace sluice::shm
