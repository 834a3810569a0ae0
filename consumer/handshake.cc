// consumer/handshake.cc -- see handshake.h.
#include "consumer/handshake.h"

#include "shm/attach.h"

namespace sluice {

Result<Welcome> start_handshake(std::string_view control_socket) noexcept {
  Result<shm::Fd> control = shm::connect_to_gateway(control_socket);
  if (!control.ok()) return control.error();

  shm::AttachPacket hello{};
  hello.word = shm::AttachWord::kHello;
  hello.version = shm::kLayoutVersion;
  hello.magic = shm::kMagic;
  if (auto sent = shm::send_packet(control->get(), hello, {}); !sent.ok()) return sent.error();

  Result<shm::Received> received = shm::expect_packet(control->get(), shm::AttachWord::kWelcome);
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
  Result<shm::Received> attached = shm::expect_packet(control, shm::AttachWord::kAttached);
  if (!attached.ok()) return attached.error();
  return {};
}

}  // namespace sluice
