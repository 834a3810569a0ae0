// tests/unit/worker/worker_life_test.cc -- a worker in a process of its own, the test its master.
#include "worker/worker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "protocol/codec.h"
#include "shm/attach.h"
#include "shm/clock.h"
#include "tests/support/nameless_file.h"
#include "tests/support/shm_world.h"

#include <doctest/doctest.h>  // last: its CHECK, not ours

namespace {

using namespace sluice;
using namespace std::chrono_literals;
using shm::AttachPacket;
using shm::AttachWord;
using shm::Fd;

constexpr int kPatienceMs = 20'000;

struct Listening {
  Listening() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd.get(), 8) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  }
  [[nodiscard]] bool somebody_waits() const {
    pollfd look{fd.get(), POLLIN, 0};
    return ::poll(&look, 1, 0) == 1;
  }
  // A client that has asked for something.
  [[nodiscard]] Fd ask() const {
    constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::send(client.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(kRequest.size()));
    return client;
  }
  Fd fd;
  sockaddr_in address{};
};

// The beginning of the answer; "" when none comes.
std::string answer(const Fd& client) {
  pollfd look{client.get(), POLLIN, 0};
  if (::poll(&look, 1, kPatienceMs) != 1) return {};
  char bytes[12];
  const ssize_t got = ::recv(client.get(), bytes, sizeof bytes, 0);
  return {bytes, static_cast<size_t>(std::max<ssize_t>(got, 0))};
}

WorkerSettings settings() {
  WorkerSettings s{};
  s.header_timeout = s.body_timeout = s.send_timeout = s.keepalive_timeout = 20s;
  s.answer_timeout = s.drain_timeout = s.receive_timeout = s.stuck_timeout = 20s;
  s.ping_interval = s.ping_timeout = s.group_expiry = 20s;
  s.hold_timeout = 1ms;  // nobody reads: what is asked is 503 at once
  s.max_head_bytes = s.max_line_bytes = 8192;
  s.max_headers = 100;
  s.max_body_bytes = s.max_message_bytes = 65536;
  s.max_connections = 8;
  return s;
}

// A worker with a listener of its own and one of another's; killed at the end if it still runs.
struct RunningWorker {
  // Which may be given a file for its access log.
  explicit RunningWorker(int access_log = -1) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    master.reset(ends[0]);
    Fd theirs(ends[1]);
    pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid != 0) return;
    master.reset();
    Inheritance inheritance;
    inheritance.segment = &world.segment();
    inheritance.me = name;
    inheritance.master_socket = theirs.release();
    inheritance.own_arena = world.arena(name.index);
    inheritance.doorbell = shm::make_doorbell(world.segment().instance(), name.index);
    inheritance.listeners = {{.fd = mine.fd.get(), .mine = true, .host = "127.0.0.1", .port = 1},
                             {.fd = another.fd.get(), .mine = false, .host = "127.0.0.1", .port = 2}};
    inheritance.settings = settings();
    inheritance.access_log = access_log;
    ::_exit(run_worker(std::move(inheritance)));
  }
  ~RunningWorker() {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  void tell(AttachWord word, uint32_t number = 0, std::initializer_list<int> fds = {}) const {
    AttachPacket packet{};
    packet.word = word;
    packet.number = number;
    REQUIRE(shm::send_packet(master.get(), packet, {fds.begin(), fds.size()}).ok());
  }
  [[nodiscard]] int exit_code() {
    int status = -1;
    REQUIRE(::waitpid(std::exchange(pid, -1), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  tests::World world;
  shm::ProcessName name = world.join(shm::Role::kWorker, 0);
  Listening mine, another;
  Fd master;
  pid_t pid = -1;
};

TEST_CASE("a worker accepts from its own listener when it is told that its arena is sealed, not before") {
  RunningWorker worker;
  const Result<shm::Received> mapped = shm::receive_packet(worker.master.get(), kPatienceMs);
  REQUIRE(mapped.ok());
  REQUIRE(mapped->packet.word == AttachWord::kMapped);

  const Fd early = worker.mine.ask();
  const Fd other = worker.another.ask();
  worker.tell(AttachWord::kAcceptFrom, 1);
  CHECK(answer(other) == "HTTP/1.1 503");
  CHECK(worker.mine.somebody_waits());

  worker.tell(AttachWord::kAttached);
  CHECK(answer(early) == "HTTP/1.1 503");
  worker.tell(AttachWord::kQuit);
  CHECK(worker.exit_code() == 0);
}

TEST_CASE("a worker answers what a consumer asks it when its arena is sealed, not before") {
  RunningWorker worker;
  const Result<shm::Received> mapped = shm::receive_packet(worker.master.get(), kPatienceMs);
  REQUIRE(mapped.ok());
  const shm::ProcessName me = worker.world.join(shm::Role::kConsumer, 1);
  tests::Member asker(worker.world, me);
  AttachPacket arena{};
  arena.word = AttachWord::kArena;
  arena.process = me.index;
  arena.incarnation = me.incarnation;
  const int memfd = worker.world.arena(me.index);
  REQUIRE(shm::send_packet(worker.master.get(), arena, {&memfd, 1}).ok());
  std::array<std::byte, 128> space{};
  Encoder encoder(space);
  encoder.begin_map().key("group").text("everybody").key("request").integer(7);
  encoder.key("incarnation").integer(me.incarnation).end_map();
  const shm::Route route{.channel = asker.layer.channels().open("group.list").value()};

  REQUIRE(asker.send_to(worker.name, as_text(*encoder.finish()), route).ok());
  asker.layer.ring();
  const Fd other = worker.another.ask();
  worker.tell(AttachWord::kAcceptFrom, 1);
  CHECK(answer(other) == "HTTP/1.1 503");  // it has turned since
  CHECK_FALSE(asker.receive());

  worker.tell(AttachWord::kAttached);
  const uint64_t deadline = shm::now_ms() + kPatienceMs;
  std::optional<std::string> said;
  while (!(said = asker.receive()) && shm::now_ms() < deadline) sched_yield();
  CHECK(said.value_or("").find("members") != std::string::npos);
  worker.tell(AttachWord::kQuit);
  CHECK(worker.exit_code() == 0);
}

TEST_CASE("a worker's access log has a line for what was answered, in the file the master last gave") {
  const tests::NamelessFile first, second;
  RunningWorker worker(first.fd.get());
  worker.tell(AttachWord::kAttached);
  CHECK(answer(worker.mine.ask()) == "HTTP/1.1 503");
  CHECK(answer(worker.mine.ask()) == "HTTP/1.1 503");

  worker.tell(AttachWord::kAccessLog, 0, {second.fd.get()});
  worker.tell(AttachWord::kAccessLog);  // without a file: nothing changes
  worker.tell(AttachWord::kQuit);
  CHECK(worker.exit_code() == 0);
  const std::string before = first.text();
  CHECK(std::count(before.begin(), before.end(), '\n') == 2);
  CHECK(before.find("127.0.0.1 - - [") == 0);
  CHECK(before.find("] \"GET / HTTP/1.1\" 503 24 \"-\" \"-\" 0.") != std::string::npos);
  CHECK(second.text().empty());

  RunningWorker next(first.fd.get());
  next.tell(AttachWord::kAccessLog, 0, {second.fd.get()});
  next.tell(AttachWord::kAttached);
  CHECK(answer(next.mine.ask()) == "HTTP/1.1 503");
  next.tell(AttachWord::kQuit);
  CHECK(next.exit_code() == 0);
  CHECK(first.text() == before);
  CHECK(second.text().ends_with(" 30 http.request - 0 -\n"));  // kRequest has 30 bytes
}

}  // namespace
