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
//   process -> gateway   Observe      instead of Hello: to look and take no part; no row, no place among consumers
//   gateway -> process   Observed + 1 descriptor: the control memfd, opened for reading only; then WantArena as above,
//                                     for as long as an attach may take: then the gateway hangs up
//   gateway -> worker    Arena + 1 descriptor, unasked, for each process that attaches
//   gateway -> worker    ArenaGone
//   worker  -> gateway   Mapped       once: its arena is mapped; the gateway seals it, then says Attached: accept
//   gateway -> worker    Drain, Quit, AcceptFrom, StopAcceptFrom
//   gateway -> worker    AccessLog + 1 descriptor, when the log was opened anew
//   worker  -> gateway   Damaged      the segment's header is not as it was made
//   gateway -> any       Refused      then the gateway hangs up
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string_view>
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
  kObserve = 9,
  kObserved = 10,
  kDamaged = 11,
  // the master's orders to a worker; `number` of AcceptFrom, StopAcceptFrom is an index in Inheritance::listeners
  kDrain = 16,           // accept no more, finish what is open within the drain time, leave
  kQuit = 17,            // leave now
  kAcceptFrom = 18,      // poll this listener too: its worker is down
  kStopAcceptFrom = 19,  // its worker is back
  kAccessLog = 20,       // the lines of its access log go here from now on
  kMakeRoom = 21,        // as kDrain: another worker has its place
  kGiveUp = 22,          // as kDrain: this segment is given up; its consumers make up their disconnects
};

enum class RefusedWhy : uint32_t { kVersion = 1, kFull = 2, kRights = 3, kDraining = 4, kProtocol = 5 };

// One packet, always this size: unused fields are zero.
struct AttachPacket {
  AttachWord word{};
  uint32_t version = 0;      // Hello, Observe: kLayoutVersion. Welcome, Observed: the gateway's
  uint64_t magic = 0;        // Hello, Observe, Welcome, Observed: kMagic
  uint32_t process = 0;      // Welcome: your row. WantArena, Arena, ArenaGone: whose
  uint32_t incarnation = 0;  // of `process`
  uint32_t number = 0;       // Welcome: consumer number, from 1. Refused: RefusedWhy
  uint32_t reserved = 0;
  uint64_t control_bytes = 0;  // Welcome, Observed: size of the control segment
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

// The control socket of the gateway at that path, connected. kDetached: nobody listens there; kRefused.
[[nodiscard]] Result<Fd> connect_to_gateway(std::string_view path) noexcept;
// The answer with that word, waited for up to limits::kAttachTimeout. kLayoutMismatch when the gateway
// speaks another version, kRefused, kMessageMalformed, kTimedOut, kDetached.
[[nodiscard]] Result<Received> expect_packet(int socket, AttachWord word) noexcept;

// A consumer's or an observer's: asks the gateway for an arena when it first meets a block of it, and waits for the
// answer up to limits::kArenaAnswerTimeout.
class AttachedArenas final : public ArenaSource {
 public:
  explicit AttachedArenas(int socket) noexcept : socket_(socket) {}
  [[nodiscard]] Fd fetch(ProcessIndex process, uint32_t incarnation) noexcept override;
  // The next packet that was met while waiting for an arena and was not about one.
  [[nodiscard]] std::optional<Received> take_order() noexcept;

 private:
  int socket_;
  std::deque<Received> orders_;
};

// A worker's: the gateway pushes each arena before its process may send, so what is not there by now
// never will be. Nothing here waits.
//
// P1  One arena a row is kept: that of the latest incarnation heard of.
// P2  Packets come out of take_order() in the order the gateway sent them.
class PushedArenas final : public ArenaSource {
 public:
  explicit PushedArenas(int socket) noexcept : socket_(socket) {}
  // Reads all packets that are there. kDetached, kMessageMalformed: the gateway is gone, or no gateway.
  [[nodiscard]] Result<void> drain() noexcept;
  // Drains first; an error of that is kept and told by the next drain().
  [[nodiscard]] Fd fetch(ProcessIndex process, uint32_t incarnation) noexcept override;
  // The next packet that brings no arena: an ArenaGone (retire its mapping) or an order of the gateway.
  [[nodiscard]] std::optional<Received> take_order() noexcept;

 private:
  struct Pushed {
    uint32_t incarnation = 0;
    Fd memfd;
  };
  int socket_;
  std::optional<Error> broken_;
  std::vector<Pushed> pushed_;  // by process index
  std::deque<Received> orders_;
};

}  // namespace sluice::shm
