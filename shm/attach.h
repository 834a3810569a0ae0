// shm/attach.h -- the words spoken on the control socket, where processes attach.
//
// A unix socket of type SOCK_SEQPACKET. Every message is one packet: an AttachWord and a fixed struct,
// little-endian; descriptors travel beside it. The socket stays open for as long as the process is
// attached: its hang-up tells either side that the other is gone.
//
//   process -> gateway   Hello
//   gateway -> process   Welcome + 4 descriptors: control memfd, own arena memfd, bell, ringer
//   process -> gateway   Mapped       (it has mapped its arena: the gateway seals it, shows it to the workers)
//   gateway -> process   Attached     (from here on it may send and receive)
//   process -> gateway   WantArena    then   gateway -> process  Arena + 1 descriptor, or none if gone
//   gateway -> worker    Arena + 1 descriptor, unasked, for each process that attaches
//   gateway -> worker    ArenaGone
//   gateway -> any       Refused      then the gateway hangs up
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "protocol/result.h"
#include "shm/arenas.h"
#include "shm/fd.h"

namespace sluice::shm {

enum class AttachWord : uint32_t {
  kHello = 1,
  kWelcome = 2,
  kMapped = 3,
  kAttached = 4,
  kWantArena = 5,
  kArena = 6,
  kArenaGone = 7,
  kRefused = 8,
};

enum class RefusedWhy : uint32_t { kVersion = 1, kFull = 2, kRights = 3, kDraining = 4, kProtocol = 5 };

// One packet, always this size: unused fields are zero.
struct AttachPacket {
  AttachWord word{};
  uint32_t version = 0;      // Hello: kLayoutVersion. Welcome: the gateway's
  uint64_t magic = 0;        // Hello, Welcome: kMagic
  uint32_t process = 0;      // Welcome: your row. WantArena, Arena, ArenaGone: whose
  uint32_t incarnation = 0;  // of `process`
  uint32_t number = 0;       // Welcome: consumer number, from 1. Refused: RefusedWhy
  uint32_t reserved = 0;
  uint64_t control_bytes = 0;  // Welcome: size of the control segment
  uint64_t arena_bytes = 0;    // Welcome, Arena: size of the arena
};
static_assert(sizeof(AttachPacket) == 48);

struct Received {
  AttachPacket packet;
  std::vector<Fd> fds;  // close-on-exec
};

// Sends one packet, never blocking. kDetached when the other side is gone or does not take it.
[[nodiscard]] Result<void> send_packet(int socket, const AttachPacket& packet, std::span<const int> fds) noexcept;
// The next packet, waiting up to `timeout_ms` (0: only what is there; -1: for ever). kTimedOut,
// kDetached (hang-up), kMessageMalformed (not a packet of ours: hang up).
[[nodiscard]] Result<Received> receive_packet(int socket, int timeout_ms) noexcept;

// Arenas fetched over the control socket: an ArenaSource for a worker or a consumer.
class AttachedArenas final : public ArenaSource {
 public:
  // Unasked packets (ArenaGone, Arena) met while waiting are kept for take_unasked().
  explicit AttachedArenas(int socket) noexcept : socket_(socket) {}
  [[nodiscard]] Fd fetch(ProcessIndex process, uint32_t incarnation) noexcept override;

 private:
  int socket_;
};

}  // namespace sluice::shm
