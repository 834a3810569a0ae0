// tests/unit/worker/socket_test.cc -- a socket in a loop of its own, against a client's end held by hand.
#include "worker/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using namespace sluice;

namespace {

// Both ends of a TCP connection over loopback: ours is not blocking.
struct Pair {
  shm::Fd ours, client;

  Pair() {
    const shm::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener.get(), any, size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), any, &size) == 0);
    client.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(client.get(), any, size) == 0);
    ours.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    REQUIRE(static_cast<bool>(ours));
  }
  void reset_by_client() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client.reset();
  }
};

// A loop with one socket in it, and what the socket told.
struct Watched final : Socket::Listener {
  uv_loop_t loop{};
  Socket socket;
  int readable = 0, writable = 0, broken = 0, closed = 0;
  bool stop_when_writable = false;

  explicit Watched(shm::Fd fd) {
    REQUIRE(uv_loop_init(&loop) == 0);
    REQUIRE(socket.open(loop, std::move(fd), *this));
  }
  ~Watched() {
    if (closed == 0) {
      socket.close(false);
      turn();
    }
    uv_loop_close(&loop);
  }
  void turn() { uv_run(&loop, UV_RUN_ONCE); }

  void on_readable() noexcept override { ++readable; }
  void on_writable() noexcept override {
    ++writable;
    if (stop_when_writable) socket.want(false, false);
  }
  void on_broken() noexcept override { ++broken; }
  void on_socket_closed() noexcept override { ++closed; }

  std::string receive() {
    std::array<char, 64> buffer;
    size_t size = 0;
    REQUIRE(socket.receive(buffer, size) == Socket::Heard::kBytes);
    return {buffer.data(), size};
  }
  Socket::Heard hear() {
    std::array<char, 64> buffer;
    size_t size = 0;
    return socket.receive(buffer, size);
  }
};

}  // namespace

TEST_CASE("a socket tells of what is wanted and of nothing else") {
  Pair pair;
  REQUIRE(::send(pair.client.get(), "hello", 5, 0) == 5);
  Watched watched(std::move(pair.ours));

  watched.socket.want(false, true);
  watched.turn();
  CHECK(watched.writable == 1);
  CHECK(watched.readable == 0);

  watched.socket.want(true, false);
  watched.turn();
  CHECK(watched.writable == 1);
  CHECK(watched.readable == 1);
  CHECK(watched.receive() == "hello");
  CHECK(watched.hear() == Socket::Heard::kNothing);
}

TEST_CASE("who stops reading when it is told of room is not told of bytes in the same turn") {
  Pair pair;
  REQUIRE(::send(pair.client.get(), "hello", 5, 0) == 5);
  Watched watched(std::move(pair.ours));
  watched.stop_when_writable = true;

  watched.socket.want(true, true);
  watched.turn();

  CHECK(watched.writable == 1);
  CHECK(watched.readable == 0);
}

TEST_CASE("the pieces of a send arrive in order, the empty ones as nothing") {
  Pair pair;
  Watched watched(std::move(pair.ours));

  const Bytes pieces[] = {as_bytes("one "), {}, as_bytes("two "), as_bytes("three")};
  CHECK(watched.socket.send(pieces) == 13);
  CHECK(watched.socket.send({}) == 0);

  std::array<char, 64> buffer;
  CHECK(::recv(pair.client.get(), buffer.data(), 13, MSG_WAITALL) == 13);
  CHECK(std::string_view(buffer.data(), 13) == "one two three");
}

TEST_CASE("a socket without room takes nothing, and tells when there is some") {
  Pair pair;
  Watched watched(std::move(pair.ours));
  const std::string much(1u << 20, 'x');
  const Bytes piece = as_bytes(much);
  uint64_t sent = 0;
  for (;;) {
    const ssize_t took = watched.socket.send({&piece, 1});
    REQUIRE(took >= 0);
    if (took == 0) break;
    sent += static_cast<uint64_t>(took);
  }
  watched.socket.want(false, true);
  uv_run(&watched.loop, UV_RUN_NOWAIT);
  CHECK(watched.writable == 0);

  std::vector<char> buffer(1u << 20);
  for (uint64_t got = 0; got < sent;) {
    const ssize_t some = ::recv(pair.client.get(), buffer.data(), buffer.size(), 0);
    REQUIRE(some > 0);
    got += static_cast<uint64_t>(some);
  }
  watched.turn();
  CHECK(watched.writable == 1);
}

TEST_CASE("a client that sends no more is an end, and can still be sent to") {
  Pair pair;
  Watched watched(std::move(pair.ours));
  REQUIRE(::shutdown(pair.client.get(), SHUT_WR) == 0);

  watched.socket.want(true, false);
  watched.turn();

  CHECK(watched.readable == 1);
  CHECK(watched.hear() == Socket::Heard::kEnd);
  const Bytes piece = as_bytes("still");
  CHECK(watched.socket.send({&piece, 1}) == 5);
}

TEST_CASE("what a client sent before it reset is read first") {
  Pair pair;
  Watched watched(std::move(pair.ours));
  REQUIRE(::send(pair.client.get(), "last words", 10, 0) == 10);

  watched.socket.want(true, false);
  pair.reset_by_client();
  watched.turn();

  CHECK(watched.broken == 0);
  CHECK(watched.readable == 1);
  CHECK(watched.receive() == "last words");
  watched.turn();
  CHECK(watched.readable == 2);
  CHECK(watched.hear() == Socket::Heard::kBroken);
}

TEST_CASE("a client that resets breaks the socket of who does not read") {
  Pair pair;
  Watched watched(std::move(pair.ours));
  const std::string much(8u << 20, 'x');  // so that a writer is not told of room first
  const Bytes piece = as_bytes(much);
  while (watched.socket.send({&piece, 1}) > 0) {
  }

  watched.socket.want(false, true);
  pair.reset_by_client();
  watched.turn();

  CHECK(watched.broken == 1);
  CHECK(watched.socket.send({&piece, 1}) == -1);
}

TEST_CASE("a reset is told of a socket of which nothing is wanted") {
  Pair pair;
  REQUIRE(::send(pair.client.get(), "hello", 5, 0) == 5);
  Watched watched(std::move(pair.ours));
  watched.socket.want(true, false);
  watched.turn();
  watched.socket.want(false, false);

  pair.reset_by_client();
  watched.turn();

  CHECK(watched.broken == 1);
  CHECK(watched.readable == 1);
}

TEST_CASE("an end that was read is not told again, and the reset behind it is") {
  Pair pair;
  Watched watched(std::move(pair.ours));
  watched.socket.want(true, false);
  pair.client.reset();  // an end, and a reset to whatever comes now
  watched.turn();
  REQUIRE(watched.hear() == Socket::Heard::kEnd);
  watched.socket.want(false, false);
  uv_run(&watched.loop, UV_RUN_NOWAIT);
  CHECK(watched.broken == 0);

  const Bytes piece = as_bytes("anything");
  REQUIRE(watched.socket.send({&piece, 1}) == 8);
  watched.turn();

  CHECK(watched.broken == 1);
}

TEST_CASE("bytes that are urgent, or not read yet, break nothing and are not told of again and again") {
  Pair pair;
  Watched watched(std::move(pair.ours));
  watched.socket.want(true, false);
  watched.socket.want(false, false);

  REQUIRE(::send(pair.client.get(), "!", 1, MSG_OOB) == 1);
  REQUIRE(::send(pair.client.get(), "hello", 5, 0) == 5);
  watched.turn();
  CHECK(uv_loop_alive(&watched.loop) == 0);  // nothing is polled: no turn would be spent on it
  CHECK(watched.broken + watched.readable == 0);

  watched.socket.want(true, false);
  watched.turn();
  CHECK(watched.readable == 1);
}

TEST_CASE("a unix socket whose client closed is broken once its end was read, not before") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  shm::Fd client(ends[1]);
  Watched watched{shm::Fd(ends[0])};
  watched.socket.want(true, false);
  watched.socket.want(false, false);
  REQUIRE(::send(client.get(), "hello", 5, 0) == 5);

  client.reset();
  watched.turn();
  CHECK(watched.broken == 0);
  watched.socket.want(true, false);
  watched.turn();
  CHECK(watched.receive() == "hello");
  REQUIRE(watched.hear() == Socket::Heard::kEnd);
  watched.socket.want(false, false);
  watched.turn();

  CHECK(watched.broken == 1);
}

TEST_CASE("a close with a reset is one to the client, a plain close is an end") {
  for (const bool with_reset : {true, false}) {
    Pair pair;
    Watched watched(std::move(pair.ours));
    watched.socket.close(with_reset);
    watched.turn();
    CHECK(watched.closed == 1);

    char byte = 0;
    const ssize_t got = ::recv(pair.client.get(), &byte, 1, 0);
    CHECK(got == (with_reset ? -1 : 0));
    if (with_reset) CHECK(errno == ECONNRESET);
  }
}
