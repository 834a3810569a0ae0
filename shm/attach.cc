// shm/attach.cc -- packets of the control socket, sent and received whole or not at all.
//
// A1  Every descriptor that arrives is owned at once: a packet that is refused leaks none.
// A2  A packet is refused for its size, a cut-off control message or an unknown word before any of
//     its fields is believed.
#include "shm/attach.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice::shm {
namespace {

constexpr size_t kMaxFds = 8;  // of one packet; Welcome, the richest, brings 4

union ControlBuffer {
  alignas(cmsghdr) char bytes[CMSG_SPACE(kMaxFds * sizeof(int))];
};

bool known(AttachWord word) noexcept {
  return (word >= AttachWord::kHello && word <= AttachWord::kDamaged) ||
         (word >= AttachWord::kDrain && word <= AttachWord::kGiveUp);
}

// Takes ownership of every descriptor in the control messages.
std::vector<Fd> fds_of(msghdr& message) {
  std::vector<Fd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

bool is_about(const AttachPacket& packet, ProcessIndex process, uint32_t incarnation) noexcept {
  return packet.process == process && packet.incarnation == incarnation;
}

std::optional<Received> take_first(std::deque<Received>& orders) noexcept {
  if (orders.empty()) return std::nullopt;
  std::optional<Received> first{std::move(orders.front())};
  orders.pop_front();
  return first;
}

}  // namespace

Result<void> send_packet(int socket, const AttachPacket& packet, std::span<const int> fds) noexcept {
  CHECK(fds.size() <= kMaxFds);
  AttachPacket copy = packet;
  iovec bytes{&copy, sizeof copy};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  ControlBuffer control{};
  if (!fds.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size_bytes());
  }
  for (;;) {
    const ssize_t sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(sizeof copy)) return {};
    if (sent < 0 && errno == EINTR) continue;
    return Error::kDetached;
  }
}

Result<Received> receive_packet(int socket, int timeout_ms) noexcept {
  const uint64_t deadline_ms = now_ms() + static_cast<uint64_t>(timeout_ms > 0 ? timeout_ms : 0);
  for (;;) {
    Received received{};
    iovec bytes{&received.packet, sizeof received.packet};
    ControlBuffer control{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got >= 0) {
      received.fds = fds_of(message);  // A1
      if (got == 0) return Error::kDetached;  // no packet of ours is empty: a hang-up
      const bool whole = got == static_cast<ssize_t>(sizeof received.packet) &&
                         (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
      if (!whole || !known(received.packet.word)) return Error::kMessageMalformed;  // A2
      return received;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Error::kDetached;
    if (timeout_ms == 0) return Error::kTimedOut;

    int left_ms = -1;
    if (timeout_ms > 0) {
      const uint64_t now = now_ms();
      if (now >= deadline_ms) return Error::kTimedOut;
      left_ms = static_cast<int>(deadline_ms - now);
    }
    pollfd waiting{socket, POLLIN, 0};
    if (::poll(&waiting, 1, left_ms) < 0 && errno != EINTR) return Error::kDetached;
  }
}

Result<Fd> connect_to_gateway(std::string_view path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return Error::kDetached;
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return Error::kRefused;
  int done = -1;
  do {
    done = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (done != 0 && errno == EINTR);
  if (done == 0) return fd;
  return errno == EACCES || errno == EPERM ? Error::kRefused : Error::kDetached;
}

Result<Received> expect_packet(int socket, AttachWord word) noexcept {
  constexpr int kTimeoutMs =
      std::chrono::duration_cast<std::chrono::milliseconds>(limits::kAttachTimeout).count();
  Result<Received> received = receive_packet(socket, kTimeoutMs);
  if (!received.ok()) return received.error();
  const AttachPacket& packet = received->packet;
  if (packet.word == AttachWord::kRefused) {
    // A gateway that does not know what we say is of another version, too.
    const bool version = packet.number == static_cast<uint32_t>(RefusedWhy::kVersion) ||
                         packet.number == static_cast<uint32_t>(RefusedWhy::kProtocol);
    return version ? Error::kLayoutMismatch : Error::kRefused;
  }
  if (packet.word != word) return Error::kMessageMalformed;
  return received;
}

Fd AttachedArenas::fetch(ProcessIndex process, uint32_t incarnation) noexcept {
  AttachPacket want{};
  want.word = AttachWord::kWantArena;
  want.process = process;
  want.incarnation = incarnation;
  if (!send_packet(socket_, want, {}).ok()) return Fd{};

  const uint64_t deadline_ms = now_ms() + static_cast<uint64_t>(limits::kArenaAnswerTimeout.count());
  for (;;) {
    const uint64_t now = now_ms();
    const int left_ms = now < deadline_ms ? static_cast<int>(deadline_ms - now) : 0;
    Result<Received> answer = receive_packet(socket_, left_ms);
    if (!answer.ok()) return Fd{};  // the hang-up stays readable for whoever watches the socket
    if (answer->packet.word != AttachWord::kArena) {
      orders_.push_back(std::move(answer).value());
      continue;
    }
    // The late answer to a question given up is dropped: it is asked again when it matters.
    if (!is_about(answer->packet, process, incarnation)) continue;
    return answer->fds.empty() ? Fd{} : std::move(answer->fds.front());
  }
}

std::optional<Received> AttachedArenas::take_order() noexcept { return take_first(orders_); }

Result<void> PushedArenas::drain() noexcept {
  while (!broken_) {
    Result<Received> next = receive_packet(socket_, 0);
    if (!next.ok()) {
      if (next.error() == Error::kTimedOut) return {};
      broken_ = next.error();
      break;
    }
    const AttachPacket& packet = next->packet;
    const bool is_row = packet.process < kMaxProcesses;
    if (packet.word == AttachWord::kArena) {
      if (!is_row) continue;
      if (packet.process >= pushed_.size()) pushed_.resize(packet.process + 1);
      pushed_[packet.process] = {packet.incarnation,  // P1
                                 next->fds.empty() ? Fd{} : std::move(next->fds.front())};
      continue;
    }
    if (packet.word == AttachWord::kArenaGone && is_row && packet.process < pushed_.size() &&
        pushed_[packet.process].incarnation == packet.incarnation) {
      pushed_[packet.process].memfd.reset();
    }
    orders_.push_back(std::move(next).value());  // P2
  }
  return *broken_;
}

Fd PushedArenas::fetch(ProcessIndex process, uint32_t incarnation) noexcept {
  static_cast<void>(drain());  // what is wrong with the socket, the worker's loop hears from drain()
  if (process >= pushed_.size() || pushed_[process].incarnation != incarnation) return Fd{};
  return std::move(pushed_[process].memfd);
}

std::optional<Received> PushedArenas::take_order() noexcept { return take_first(orders_); }

}  // namespace sluice::shm
