// tests/unit/gateway/control_test.cc -- the control socket, spoken to by a fake consumer.
#include "gateway/control.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "worker/process.h"
#include "tests/support/segment_fixture.h"
#include "tests/unit/gateway/loop_until.h"

namespace {

using namespace sluice;
using shm::AttachPacket;
using shm::AttachWord;
using shm::Fd;
using shm::ProcessName;
using shm::ProcessState;
using shm::RefusedWhy;

AttachPacket packet_of(AttachWord word) {
  AttachPacket packet{};
  packet.word = word;
  packet.version = shm::kLayoutVersion;
  packet.magic = shm::kMagic;
  return packet;
}

Fd connect_to(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

struct Bench : Control::Events {
  explicit Bench(uint32_t max_consumers = 4)
      : folder([] {
          char name[] = "/tmp/sluice-control-XXXXXX";
          REQUIRE(::mkdtemp(name) != nullptr);
          return std::string(name);
        }()),
        path(folder + "/control"),
        memory(tests::small_geometry()),
        control(std::make_unique<Control>(loop.loop, memory, *this, max_consumers)) {
    control->open(std::make_unique<ControlSocket>(path));
  }
  ~Bench() override {
    control.reset();
    std::filesystem::remove_all(folder);
  }
  void on_hello() noexcept override { ++hellos; }
  void on_arena(ProcessName consumer) noexcept override { shown.push_back(consumer); }
  void on_attached() noexcept override {}
  void on_consumer_dead(ProcessName consumer) noexcept override { dead.push_back(consumer); }

  // The next packet of the gateway; nothing when it hung up.
  std::optional<shm::Received> next(const Fd& socket) {
    std::optional<shm::Received> got;
    bool over = false;
    const bool came = loop.until([&] {
      Result<shm::Received> received = shm::receive_packet(socket.get(), 0);
      if (received.ok()) got = std::move(*received);
      over = !received.ok() && received.error() != Error::kTimedOut;
      return got || over;
    });
    REQUIRE(came);
    return got;
  }
  void say(const Fd& socket, const AttachPacket& packet) {
    REQUIRE(shm::send_packet(socket.get(), packet, {}).ok());
  }
  // A refusal and then the hang-up.
  bool refused(const Fd& socket, RefusedWhy why) {
    const auto packet = next(socket);
    return packet && packet->packet.word == AttachWord::kRefused &&
           packet->packet.number == static_cast<uint32_t>(why) && !next(socket);
  }

  tests::TestLoop loop;
  std::string folder;
  std::string path;
  SharedMemory memory;
  std::unique_ptr<Control> control;
  int hellos = 0;
  std::vector<ProcessName> shown;
  std::vector<ProcessName> dead;
};

// A consumer that went all the way.
struct Consumer {
  explicit Consumer(Bench& bench) : socket(connect_to(bench.path)) {
    bench.say(socket, packet_of(AttachWord::kHello));
    auto welcome = bench.next(socket);
    REQUIRE(welcome);
    REQUIRE(welcome->packet.word == AttachWord::kWelcome);
    REQUIRE(welcome->fds.size() == 4);
    packet = welcome->packet;
    fds = std::move(welcome->fds);
    name = {static_cast<shm::ProcessIndex>(packet.process), packet.incarnation};
    arena =
        ::mmap(nullptr, packet.arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1].get(), 0);
    REQUIRE(arena != MAP_FAILED);
    bench.say(socket, packet_of(AttachWord::kMapped));
    const auto attached = bench.next(socket);
    REQUIRE(attached);
    REQUIRE(attached->packet.word == AttachWord::kAttached);
  }
  ~Consumer() { unmap(); }
  void unmap() {
    if (arena != MAP_FAILED) ::munmap(std::exchange(arena, MAP_FAILED), packet.arena_bytes);
  }
  Fd socket;
  AttachPacket packet;
  std::vector<Fd> fds;
  ProcessName name;
  void* arena = MAP_FAILED;
};

TEST_CASE(
    "a consumer is welcomed with its row, its memory and its doorbell, and lives once attached") {
  Bench bench;
  const Consumer consumer(bench);

  CHECK(consumer.packet.number == 1);
  CHECK(consumer.packet.control_bytes == bench.memory.segment().offsets().total);
  CHECK(shm::sealed_memfd_of(consumer.fds[0].get(), consumer.packet.control_bytes));
  CHECK(shm::sealed_memfd_of(consumer.fds[1].get(), consumer.packet.arena_bytes));
  CHECK(bench.memory.processes().is_live(consumer.name));
  CHECK(bench.control->attached() == 1);
  CHECK(bench.shown == std::vector<ProcessName>{consumer.name});
}

TEST_CASE("an attached consumer's arena can be mapped for writing by nobody else") {
  Bench bench;
  const Consumer consumer(bench);

  void* const second = ::mmap(nullptr, consumer.packet.arena_bytes, PROT_READ | PROT_WRITE,
                              MAP_SHARED, consumer.fds[1].get(), 0);

  CHECK(second == MAP_FAILED);
}

TEST_CASE("the control socket's file is for this user alone, and goes with the gateway") {
  Bench bench;
  struct stat file {};
  REQUIRE(::stat(bench.path.c_str(), &file) == 0);

  CHECK((file.st_mode & 0777) == 0600);
  bench.control.reset();
  CHECK_FALSE(std::filesystem::exists(bench.path));
}

TEST_CASE("another layout version or no segment's magic is refused with the reason") {
  Bench bench;
  AttachPacket version = packet_of(AttachWord::kHello);
  version.version = shm::kLayoutVersion + 1;
  AttachPacket magic = packet_of(AttachWord::kHello);
  magic.magic = 0;
  for (const AttachPacket& hello : {version, magic}) {
    const Fd socket = connect_to(bench.path);
    bench.say(socket, hello);
    CHECK(bench.refused(socket, RefusedWhy::kVersion));
  }
  CHECK(bench.dead.empty());
}

TEST_CASE("words out of turn are refused as breaking the protocol") {
  Bench bench;
  for (const AttachWord word : {AttachWord::kMapped, AttachWord::kWantArena, AttachWord::kWelcome,
                                AttachWord::kArena, AttachWord::kDrain}) {
    const Fd socket = connect_to(bench.path);
    bench.say(socket, packet_of(word));
    CHECK(bench.refused(socket, RefusedWhy::kProtocol));
  }
  const Consumer consumer(bench);
  bench.say(consumer.socket, packet_of(AttachWord::kHello));
  CHECK(bench.refused(consumer.socket, RefusedWhy::kProtocol));
}

TEST_CASE("bytes that are no packet end the connection") {
  Bench bench;
  const Fd socket = connect_to(bench.path);
  REQUIRE(::send(socket.get(), "hello", 5, 0) == 5);

  CHECK(bench.refused(socket, RefusedWhy::kProtocol));
}

TEST_CASE("more consumers than allowed are refused, and one leaving makes room") {
  Bench bench(1);
  auto first = std::make_unique<Consumer>(bench);
  const Fd second = connect_to(bench.path);
  bench.say(second, packet_of(AttachWord::kHello));
  CHECK(bench.refused(second, RefusedWhy::kFull));

  first.reset();
  REQUIRE(bench.loop.until([&] { return !bench.dead.empty(); }));

  const Consumer third(bench);
  CHECK(third.packet.number == 1);
}

TEST_CASE("a draining gateway takes nobody new") {
  Bench bench;
  const Consumer before(bench);
  bench.control->refuse_new();
  const Fd socket = connect_to(bench.path);
  bench.say(socket, packet_of(AttachWord::kHello));

  CHECK(bench.refused(socket, RefusedWhy::kDraining));
  CHECK(bench.control->attached() == 1);
}

TEST_CASE("an attached consumer gets the arenas it asks for, and none for a row that is gone") {
  Bench bench;
  const Consumer one(bench);
  const Consumer two(bench);
  AttachPacket want = packet_of(AttachWord::kWantArena);
  want.process = two.name.index;
  want.incarnation = two.name.incarnation;

  bench.say(one.socket, want);
  const auto there = bench.next(one.socket);
  want.incarnation += 1;
  bench.say(one.socket, want);
  const auto gone = bench.next(one.socket);
  want.process = 0xffffffff;
  bench.say(one.socket, want);
  const auto never = bench.next(one.socket);

  REQUIRE((there && gone && never));
  CHECK(there->fds.size() == 1);
  CHECK(there->packet.arena_bytes == two.packet.arena_bytes);
  CHECK(gone->fds.empty());
  CHECK(never->fds.empty());
}

TEST_CASE("an arena its own process has not mapped yet is given to nobody else") {
  Bench bench;
  const Consumer one(bench);
  const Fd joining = connect_to(bench.path);
  bench.say(joining, packet_of(AttachWord::kHello));
  const auto welcome = bench.next(joining);
  REQUIRE(welcome);
  AttachPacket want = packet_of(AttachWord::kWantArena);
  want.process = welcome->packet.process;
  want.incarnation = welcome->packet.incarnation;

  bench.say(one.socket, want);
  const auto answer = bench.next(one.socket);

  REQUIRE(answer);
  CHECK(answer->packet.word == AttachWord::kArena);
  CHECK(answer->fds.empty());
}

TEST_CASE("an observer gets the segment for reading only, and takes no row") {
  Bench bench;
  const Fd socket = connect_to(bench.path);
  bench.say(socket, packet_of(AttachWord::kObserve));
  auto observed = bench.next(socket);
  REQUIRE(observed);
  REQUIRE(observed->packet.word == AttachWord::kObserved);
  REQUIRE(observed->fds.size() == 1);
  const int fd = observed->fds[0].get();
  const uint64_t bytes = observed->packet.control_bytes;

  CHECK(bytes == bench.memory.segment().offsets().total);
  CHECK((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
  CHECK(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  void* const seen = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  REQUIRE(seen != MAP_FAILED);
  CHECK(::mprotect(seen, bytes, PROT_READ | PROT_WRITE) != 0);
  ::munmap(seen, bytes);
  const auto segment = shm::Segment::observe(std::move(observed->fds[0]));
  REQUIRE(segment.ok());
  CHECK(segment->instance() == bench.memory.segment().instance());
  for (shm::ProcessIndex row = 2; row < bench.memory.segment().geometry().processes; ++row) {
    CHECK(bench.memory.processes().state(row) == ProcessState::kFree);
  }
  CHECK(bench.control->attached() == 0);
}

TEST_CASE("an observer may look while the gateway drains, with its own version only") {
  Bench bench;
  bench.control->refuse_new();
  const Fd socket = connect_to(bench.path);
  bench.say(socket, packet_of(AttachWord::kObserve));
  const auto observed = bench.next(socket);
  REQUIRE(observed);
  CHECK(observed->packet.word == AttachWord::kObserved);

  AttachPacket other = packet_of(AttachWord::kObserve);
  other.version += 1;
  const Fd second = connect_to(bench.path);
  bench.say(second, other);
  CHECK(bench.refused(second, RefusedWhy::kVersion));
}

TEST_CASE("an observer is given sealed arenas, and cannot become a consumer") {
  Bench bench;
  const Consumer consumer(bench);
  const Fd socket = connect_to(bench.path);
  bench.say(socket, packet_of(AttachWord::kObserve));
  REQUIRE(bench.next(socket));
  AttachPacket want = packet_of(AttachWord::kWantArena);
  want.process = consumer.name.index;
  want.incarnation = consumer.name.incarnation;
  bench.say(socket, want);
  const auto arena = bench.next(socket);

  REQUIRE(arena);
  REQUIRE(arena->fds.size() == 1);
  CHECK(::mmap(nullptr, arena->packet.arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
               arena->fds[0].get(), 0) == MAP_FAILED);
  bench.say(socket, packet_of(AttachWord::kMapped));
  CHECK(bench.refused(socket, RefusedWhy::kProtocol));
  CHECK(bench.control->attached() == 1);
}

TEST_CASE("a consumer that hangs up but still writes its arena is out of work, not recovered") {
  Bench bench;
  Consumer consumer(bench);
  consumer.socket.reset();

  REQUIRE(bench.loop.until([&] { return !bench.memory.processes().is_live(consumer.name); }));
  bool later = false;
  Timer timer(bench.loop.loop, [&] { later = true; });
  timer.start(std::chrono::milliseconds(100));  // several looks
  REQUIRE(bench.loop.until([&] { return later; }));
  CHECK(bench.dead.empty());
  CHECK(bench.memory.arena(consumer.name) >= 0);

  consumer.unmap();
  REQUIRE(bench.loop.until([&] { return !bench.dead.empty(); }));
  CHECK(bench.dead == std::vector<ProcessName>{consumer.name});
}

TEST_CASE("a consumer's death is told by its process, though a socket of it lives on elsewhere") {
  Bench bench;
  int pipe[2];
  REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
  const std::string path = bench.path;
  const pid_t child = ::fork();
  if (child == 0) {
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) ::_exit(1);
    const pid_t heir = ::fork();
    if (heir == 0) {  // holds the socket until the test is over
      ::close(pipe[1]);
      char byte = 0;
      ::_exit(::read(pipe[0], &byte, 1) == 0 ? 0 : 1);
    }
    if (!shm::send_packet(fd, packet_of(AttachWord::kHello), {}).ok()) ::_exit(1);
    if (!shm::receive_packet(fd, -1).ok()) ::_exit(1);
    if (!shm::send_packet(fd, packet_of(AttachWord::kMapped), {}).ok()) ::_exit(1);
    for (;;) ::pause();
  }
  REQUIRE(bench.loop.until([&] { return bench.control->attached() == 1; }));

  ::kill(child, SIGKILL);

  CHECK(bench.loop.until([&] { return !bench.dead.empty(); }));
  CHECK(bench.dead == bench.shown);
  ::waitpid(child, nullptr, 0);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_CASE("a socket that says nothing makes way when there are too many of them") {
  Bench bench;
  std::vector<Fd> silent;
  silent.push_back(connect_to(bench.path));
  bench.say(silent.front(), packet_of(AttachWord::kObserve));  // one that only looks, too
  REQUIRE(bench.next(silent.front()));
  while (silent.size() < limits::kUnattachedSockets) {
    silent.push_back(connect_to(bench.path));
    uv_run(&bench.loop.loop, UV_RUN_NOWAIT);
  }
  const Consumer consumer(bench);

  CHECK_FALSE(bench.next(silent.front()));
  CHECK(shm::receive_packet(silent.back().get(), 0).error() == Error::kTimedOut);
}

TEST_CASE("a living gateway's control socket is not taken over, a dead one's is") {
  Bench bench;
  const auto second = [&] { const ControlSocket socket(bench.path); };
  CHECK_THROWS_AS(second(), std::runtime_error);

  const std::string stale = bench.folder + "/stale";
  {
    const Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, stale.c_str(), stale.size());
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  CHECK_NOTHROW(ControlSocket{stale});
}

TEST_CASE("a control closed hangs up on everybody, and sees their detaches and deaths still") {
  Bench bench;
  Consumer consumer(bench);
  const Fd silent = connect_to(bench.path);
  REQUIRE(bench.loop.until([&] { return bench.hellos == 1; }));
  SharedMemory memory(tests::small_geometry());
  Control next(bench.loop.loop, memory, bench, 4);

  next.open(bench.control->close());

  CHECK_FALSE(bench.next(consumer.socket));
  CHECK_FALSE(bench.memory.processes().is_live(consumer.name));
  CHECK(bench.dead.empty());
  consumer.unmap();
  REQUIRE(bench.loop.until([&] { return !bench.dead.empty(); }));
  CHECK(bench.dead == std::vector<ProcessName>{consumer.name});
  const Consumer again(bench);
  CHECK(memory.processes().is_live(again.name));
  CHECK(next.attached() == 1);
}

}  // namespace
