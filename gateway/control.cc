// gateway/control.cc -- see control.h.
#include "gateway/control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "worker/process.h"
#include "protocol/limits.h"
#include "worker/log.h"

namespace sluice {
namespace {

using shm::AttachPacket;
using shm::AttachWord;
using shm::Fd;
using shm::ProcessName;

constexpr int kSoPeerPidfd = 77;  // SO_PEERPIDFD, from Linux 6.5 on; older headers lack it

bool is_hung_up(int socket) noexcept {
  pollfd asked{socket, POLLRDHUP, 0};
  return ::poll(&asked, 1, 0) == 1 && (asked.revents & (POLLHUP | POLLRDHUP)) != 0;
}

// The process that connected, for good. Where the kernel does not keep it for us, the number might
// be another's by now, unless the socket is still open after we took hold of it.
Fd pidfd_of(int socket, pid_t pid) noexcept {
  int fd = -1;
  socklen_t length = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, kSoPeerPidfd, &fd, &length) == 0) return Fd(fd);
  Fd pidfd = open_pidfd(pid);
  return is_hung_up(socket) ? Fd{} : std::move(pidfd);
}

AttachPacket packet_of(AttachWord word) noexcept {
  AttachPacket packet{};
  packet.word = word;
  return packet;
}

bool speaks_our_version(const AttachPacket& packet) noexcept {
  return packet.magic == shm::kMagic && packet.version == shm::kLayoutVersion;
}

}  // namespace

struct Control::Peer {
  State state = State::kConnected;
  Fd socket;
  pid_t pid = 0;
  Fd pidfd;
  std::optional<ProcessName> name;  // from kWelcomed on
  uint32_t number = 0;
  dev_t arena_device = 0;
  ino_t arena_inode = 0;
  std::chrono::milliseconds next_look = limits::kDetachLook;
  // After the descriptors they watch: destroyed first.
  std::unique_ptr<Poll> packets;
  std::unique_ptr<Poll> death;
  std::unique_ptr<Timer> timer;  // the handshake's deadline; then the looks at a detached one
};

Control::Control(uv_loop_t& loop, SharedMemory& memory, Events& events, uint32_t max_consumers)
    : loop_(loop),
      memory_(memory),
      events_(events),
      max_consumers_(max_consumers),
      accept_again_(std::make_unique<Timer>(loop, [this] { poll_->watch(UV_READABLE); })) {}

Control::~Control() = default;

void Control::open(std::unique_ptr<ControlSocket> socket) {
  socket_ = std::move(socket);
  poll_ = std::make_unique<Poll>(loop_, socket_->fd(), UV_READABLE, [this](int) { accept_all(); });
}

std::unique_ptr<ControlSocket> Control::close() noexcept {
  accept_again_->stop();
  poll_.reset();
  std::vector<Peer*> all;  // hanging up forgets those that have no row yet
  for (const auto& peer : peers_) all.push_back(peer.get());
  for (Peer* peer : all) {
    if (peer->state != State::kLeaving) hang_up(*peer);
  }
  return std::move(socket_);
}

uint32_t Control::attached() const noexcept {
  return static_cast<uint32_t>(std::count_if(peers_.begin(), peers_.end(), [](const auto& peer) {
    return peer->state == State::kAttached;
  }));
}

void Control::accept_all() noexcept {
  for (;;) {
    Fd socket(::accept4(socket_->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      accept_one(std::move(socket));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return;
    log_event(LogLevel::kError, "control_accept_failed", {{"why", std::strerror(errno)}});
    poll_->watch(0);
    accept_again_->start(limits::kAcceptPause);
    return;
  }
}

void Control::accept_one(Fd socket) noexcept {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  const bool known =
      ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0;
  const bool allowed = known && (credentials.uid == ::geteuid() || credentials.uid == 0);  // T1
  Fd pidfd = allowed && credentials.pid > 0 ? pidfd_of(socket.get(), credentials.pid) : Fd{};
  if (!pidfd) {
    AttachPacket refused = packet_of(AttachWord::kRefused);
    refused.number = static_cast<uint32_t>(shm::RefusedWhy::kRights);
    static_cast<void>(shm::send_packet(socket.get(), refused, {}));
    log_event(LogLevel::kWarning, "attach_refused",
              {{"pid", credentials.pid}, {"uid", credentials.uid}, {"why", "rights"}});
    return;
  }
  const auto unattached = [](const auto& peer) {
    return peer->state != State::kAttached && peer->state != State::kLeaving;
  };
  if (static_cast<size_t>(std::count_if(peers_.begin(), peers_.end(), unattached)) >=
      limits::kUnattachedSockets) {
    hang_up(**std::find_if(peers_.begin(), peers_.end(), unattached));
  }

  Peer& peer = *peers_.emplace_back(std::make_unique<Peer>());
  peer.socket = std::move(socket);
  peer.pid = credentials.pid;
  peer.pidfd = std::move(pidfd);
  try {
    peer.packets = std::make_unique<Poll>(loop_, peer.socket.get(), UV_READABLE,
                                          [this, &peer](int) { on_readable(peer); });
    peer.death = std::make_unique<Poll>(loop_, peer.pidfd.get(), UV_READABLE,
                                        [this, &peer](int) { on_death(peer); });
    peer.timer = std::make_unique<Timer>(loop_, [this, &peer] {
      peer.state == State::kLeaving ? look_whether_detached(peer) : hang_up(peer);
    });
  } catch (const std::exception& error) {
    log_event(LogLevel::kError, "attach_failed", {{"pid", peer.pid}, {"why", error.what()}});
    forget(peer);
    return;
  }
  peer.timer->start(limits::kAttachTimeout);
}

void Control::on_readable(Peer& peer) noexcept {
  for (;;) {
    const Result<shm::Received> received = shm::receive_packet(peer.socket.get(), 0);
    if (!received.ok() && received.error() == Error::kTimedOut) return;
    if (!received.ok() && received.error() == Error::kMessageMalformed) {
      refuse(peer, shm::RefusedWhy::kProtocol);
    }
    if (!received.ok() || !take(peer, received->packet)) {  // T2
      hang_up(peer);
      return;
    }
  }
}

bool Control::take(Peer& peer, const AttachPacket& packet) noexcept {
  switch (packet.word) {
    case AttachWord::kHello:
      if (peer.state == State::kConnected) return welcome(peer, packet);
      break;
    case AttachWord::kObserve:
      if (peer.state == State::kConnected) return show(peer, packet);
      break;
    case AttachWord::kMapped:
      if (peer.state == State::kWelcomed) return attach(peer);
      break;
    case AttachWord::kWantArena:
      if (peer.state == State::kAttached || peer.state == State::kObserving) {
        return give_arena(peer, packet);
      }
      break;
    default:
      break;
  }
  refuse(peer, shm::RefusedWhy::kProtocol);
  return false;
}

bool Control::show(Peer& peer, const AttachPacket& observe) noexcept {
  if (!speaks_our_version(observe)) {
    refuse(peer, shm::RefusedWhy::kVersion);
    return false;
  }
  const Fd segment = shm::open_read_only(memory_.segment().memfd());
  if (!segment) {
    refuse(peer, shm::RefusedWhy::kFull);
    return false;
  }
  peer.state = State::kObserving;
  AttachPacket observed = packet_of(AttachWord::kObserved);
  observed.version = shm::kLayoutVersion;
  observed.magic = shm::kMagic;
  observed.control_bytes = memory_.segment().offsets().total;
  const int fds[] = {segment.get()};
  log_event(LogLevel::kInfo, "observed", {{"pid", peer.pid}});
  return shm::send_packet(peer.socket.get(), observed, fds).ok();
}

bool Control::welcome(Peer& peer, const AttachPacket& hello) noexcept {
  events_.on_hello();
  if (!speaks_our_version(hello)) {
    refuse(peer, shm::RefusedWhy::kVersion);
    return false;
  }
  if (draining_) {
    refuse(peer, shm::RefusedWhy::kDraining);
    return false;
  }
  const auto seated = std::count_if(peers_.begin(), peers_.end(), [](const auto& other) {
    return other->state == State::kWelcomed || other->state == State::kAttached;
  });
  const uint32_t number = free_number();
  if (static_cast<uint32_t>(seated) < max_consumers_) {
    peer.name = memory_.reserve(shm::Role::kConsumer, number);
  }
  if (!peer.name) {
    refuse(peer, shm::RefusedWhy::kFull);
    return false;
  }
  peer.number = number;
  peer.state = State::kWelcomed;
  const int arena = memory_.arena(*peer.name);
  struct stat file {};
  static_cast<void>(::fstat(arena, &file));
  peer.arena_device = file.st_dev;
  peer.arena_inode = file.st_ino;

  AttachPacket welcome = packet_of(AttachWord::kWelcome);
  welcome.version = shm::kLayoutVersion;
  welcome.magic = shm::kMagic;
  welcome.process = peer.name->index;
  welcome.incarnation = peer.name->incarnation;
  welcome.number = number;
  welcome.control_bytes = memory_.segment().offsets().total;
  welcome.arena_bytes = memory_.arena_bytes(*peer.name);
  const shm::DoorbellSockets sockets = memory_.doorbell_of(peer.name->index);
  const int fds[] = {memory_.segment().memfd(), arena, sockets.bell.get(), sockets.ringer.get()};
  return shm::send_packet(peer.socket.get(), welcome, fds).ok();
}

bool Control::attach(Peer& peer) noexcept {
  if (!shm::seal_against_writers(memory_.arena(*peer.name)).ok()) {
    refuse(peer, shm::RefusedWhy::kProtocol);  // it sealed the arena its own way
    return false;
  }
  peer.state = State::kAttached;
  peer.timer->stop();
  memory_.processes().set_live(*peer.name, static_cast<uint32_t>(peer.pid),
                               start_time_of(peer.pid).value_or(0));
  events_.on_arena(*peer.name);  // T4
  AttachPacket attached = packet_of(AttachWord::kAttached);
  attached.process = peer.name->index;
  attached.incarnation = peer.name->incarnation;
  if (!shm::send_packet(peer.socket.get(), attached, {}).ok()) return false;
  log_event(LogLevel::kInfo, "consumer_attached",
            {{"consumer", peer.number}, {"pid", peer.pid}, {"row", peer.name->index}});
  events_.on_attached();
  return true;
}

bool Control::give_arena(Peer& peer, const AttachPacket& want) noexcept {
  AttachPacket answer = packet_of(AttachWord::kArena);
  answer.process = want.process;
  answer.incarnation = want.incarnation;
  const Fd arena =
      want.process < shm::kMaxProcesses
          ? memory_.fetch(static_cast<shm::ProcessIndex>(want.process), want.incarnation)
          : Fd{};
  if (!arena || !shm::is_sealed_against_writers(arena.get())) {  // T4
    return shm::send_packet(peer.socket.get(), answer, {}).ok();
  }
  answer.arena_bytes = memory_.segment().arena_bytes(want.process);
  const int fds[] = {arena.get()};
  return shm::send_packet(peer.socket.get(), answer, fds).ok();
}

void Control::refuse(Peer& peer, shm::RefusedWhy why) noexcept {
  AttachPacket refused = packet_of(AttachWord::kRefused);
  refused.number = static_cast<uint32_t>(why);
  static_cast<void>(shm::send_packet(peer.socket.get(), refused, {}));
  log_event(LogLevel::kWarning, "attach_refused",
            {{"pid", peer.pid}, {"why", static_cast<uint32_t>(why)}});
}

void Control::hang_up(Peer& peer) noexcept {
  peer.packets.reset();
  peer.socket.reset();
  if (!peer.name) {
    forget(peer);
    return;
  }
  memory_.processes().set_dead(*peer.name);  // T3: nobody sends it anything more
  peer.state = State::kLeaving;
  peer.timer->start(peer.next_look);  // a death shows itself sooner, by its pidfd
}

void Control::look_whether_detached(Peer& peer) noexcept {
  if (has_died(peer.pidfd.get())) return on_death(peer);
  const auto writes = writes_mapping(peer.pid, peer.arena_device, peer.arena_inode);
  if (!writes) return;  // not ours to see: its death will tell
  if (*writes) {
    peer.next_look =
        std::min<std::chrono::milliseconds>(peer.next_look * 2, limits::kDetachLookMost);
    peer.timer->start(peer.next_look);
    return;
  }
  log_event(LogLevel::kInfo, "consumer_detached", {{"consumer", peer.number}, {"pid", peer.pid}});
  const ProcessName name = *peer.name;
  forget(peer);
  events_.on_consumer_dead(name);
}

void Control::on_death(Peer& peer) noexcept {
  const std::optional<ProcessName> name = peer.name;
  if (name) {
    memory_.processes().set_dead(*name);
    log_event(LogLevel::kInfo, "consumer_died", {{"consumer", peer.number}, {"pid", peer.pid}});
  }
  forget(peer);
  if (name) events_.on_consumer_dead(*name);
}

void Control::forget(Peer& peer) noexcept {
  peers_.remove_if([&](const auto& other) { return other.get() == &peer; });
}

uint32_t Control::free_number() const noexcept {
  uint32_t number = 1;
  const auto taken = [&](const auto& peer) { return peer->name && peer->number == number; };
  while (std::any_of(peers_.begin(), peers_.end(), taken)) ++number;
  return number;
}

}  // namespace sluice
