// consumer/handshake.cc -- see handshake.h.
#include "consumer/handshake.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "protocol/limits.h"
#include "shm/attach.h"

namespace sluice {
namespace {

constexpr int kTimeoutMs =
    std::chrono::duration_cast<std::chrono::milliseconds>(limits::kAttachTimeout).count();

Result<shm::Fd> connect_to(std::string_view path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return Error::kDetached;
  std::memcpy(address.sun_path, path.data(), path.size());
  shm::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return Error::kRefused;
  int done = -1;
  do {
    done = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (done != 0 && errno == EINTR);
  if (done == 0) return fd;
  return errno == EACCES || errno == EPERM ? Error::kRefused : Error::kDetached;
}

// The packet with that word, or why it is not coming.
Result<shm::Received> expect(int control, shm::AttachWord word) noexcept {
  Result<shm::Received> received = shm::receive_packet(control, kTimeoutMs);
  if (!received.ok()) return received.error();
  const shm::AttachPacket& packet = received->packet;
  if (packet.word == shm::AttachWord::kRefused) {
    return packet.number == static_cast<uint32_t>(shm::RefusedWhy::kVersion)
               ? Error::kLayoutMismatch
               : Error::kRefused;
  }
  if (packet.word != word) return Error::kMessageMalformed;
  return received;
}

}  // namespace

Result<Welcome> start_handshake(std::string_view control_socket) noexcept {
  Result<shm::Fd> control = connect_to(control_socket);
  if (!control.ok()) return control.error();

  shm::AttachPacket hello{};
  hello.word = shm::AttachWord::kHello;
  hello.version = shm::kLayoutVersion;
  hello.magic = shm::kMagic;
  if (auto sent = shm::send_packet(control->get(), hello, {}); !sent.ok()) return sent.error();

  Result<shm::Received> received = expect(control->get(), shm::AttachWord::kWelcome);
  if (!received.ok()) return received.error();
  const shm::AttachPacket packet = received->packet;
  std::vector<shm::Fd>& fds = received->fds;
  if (packet.magic != shm::kMagic || packet.version != shm::kLayoutVersion)
    return Error::kLayoutMismatch;
  if (fds.size() != 4) return Error::kMessageMalformed;

  Result<shm::Segment> segment = shm::Segment::attach(std::move(fds[0]));
  if (!segment.ok()) return segment.error();
  if (segment->process(packet.process) == nullptr || packet.process == shm::kNobody) {
    return Error::kMessageMalformed;
  }
  return Welcome{std::move(*control),
                 std::move(*segment),
                 std::move(fds[1]),
                 {std::move(fds[2]), std::move(fds[3])},
                 {static_cast<shm::ProcessIndex>(packet.process), packet.incarnation},
                 packet.number};
}

Result<void> finish_handshake(int control) noexcept {
  shm::AttachPacket mapped{};
  mapped.word = shm::AttachWord::kMapped;
  if (auto sent = shm::send_packet(control, mapped, {}); !sent.ok()) return sent;
  Result<shm::Received> attached = expect(control, shm::AttachWord::kAttached);
  if (!attached.ok()) return attached.error();
  return {};
}

}  // namespace sluice
