// tests/unit/shm/attach_test.cc -- packets and descriptors over a socket pair.
#include "shm/attach.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <thread>

#include "shm/clock.h"
#include "tests/support/shm_world.h"

namespace {

using namespace sluice::shm;
using sluice::Error;

struct Bench {
  Bench() {
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) == 0);
    gateway = Fd(pair[0]);
    process = Fd(pair[1]);
  }
  void push(AttachWord word, uint32_t row, uint32_t incarnation, std::span<const int> fds = {}) {
    AttachPacket packet{};
    packet.word = word;
    packet.process = row;
    packet.incarnation = incarnation;
    REQUIRE(send_packet(gateway.get(), packet, fds).ok());
  }
  Fd gateway;
  Fd process;
};

size_t open_descriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

ino_t inode_of(int fd) {
  struct stat status {};
  REQUIRE(fstat(fd, &status) == 0);
  return status.st_ino;
}

TEST_CASE("a packet arrives as it was sent, with its descriptors, closed on exec") {
  Bench b;
  const Fd one = make_memfd("one", 4096);
  const Fd two = make_memfd("two", 4096);
  const int fds[] = {one.get(), two.get()};
  AttachPacket packet{};
  packet.word = AttachWord::kWelcome;
  packet.version = 1;
  packet.magic = kMagic;
  packet.process = 5;
  packet.incarnation = 6;
  packet.number = 7;
  packet.control_bytes = 1ull << 40;
  packet.arena_bytes = 9;

  REQUIRE(send_packet(b.gateway.get(), packet, fds).ok());
  const auto received = receive_packet(b.process.get(), 0);

  REQUIRE(received.ok());
  CHECK(std::memcmp(&received->packet, &packet, sizeof packet) == 0);
  REQUIRE(received->fds.size() == 2);
  CHECK(inode_of(received->fds[0].get()) == inode_of(one.get()));
  CHECK(inode_of(received->fds[1].get()) == inode_of(two.get()));
  CHECK((fcntl(received->fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("eight descriptors travel beside one packet") {
  Bench b;
  std::array<int, 8> fds{};
  fds.fill(b.process.get());

  b.push(AttachWord::kWelcome, 1, 1, fds);

  CHECK(receive_packet(b.process.get(), 0)->fds.size() == 8);
}

TEST_CASE("waiting ends with a packet, with the time given, or with the hang-up") {
  Bench b;

  CHECK(receive_packet(b.process.get(), 0).error() == Error::kTimedOut);
  const uint64_t before = now_ms();
  CHECK(receive_packet(b.process.get(), 20).error() == Error::kTimedOut);
  CHECK(now_ms() - before >= 20);
  std::thread sender([&] { b.push(AttachWord::kAttached, 1, 1); });
  CHECK(receive_packet(b.process.get(), 60'000)->packet.word == AttachWord::kAttached);
  sender.join();
  std::thread leaver([&] { b.gateway.reset(); });
  CHECK(receive_packet(b.process.get(), -1).error() == Error::kDetached);
  leaver.join();
}

TEST_CASE("packets sent before a hang-up are still read") {
  Bench b;
  b.push(AttachWord::kRefused, 0, 0);
  b.gateway.reset();

  CHECK(receive_packet(b.process.get(), 0)->packet.word == AttachWord::kRefused);
  CHECK(receive_packet(b.process.get(), 0).error() == Error::kDetached);
}

TEST_CASE("sending to one that left or that never reads is an error, not a signal and not a wait") {
  Bench b;
  AttachPacket packet{};
  packet.word = AttachWord::kArenaGone;
  int sent = 0;
  while (sent < 100'000 && send_packet(b.gateway.get(), packet, {}).ok()) ++sent;
  CHECK(sent < 100'000);
  CHECK(sent > 100);

  b.process.reset();
  CHECK(send_packet(b.gateway.get(), packet, {}).error() == Error::kDetached);
}

TEST_CASE("what is no packet of ours is malformed, and its descriptors are closed") {
  Bench b;
  const size_t open = open_descriptors();
  AttachPacket packet{};
  packet.word = AttachWord::kHello;
  const auto send_raw = [&](size_t bytes, size_t fd_count) {
    std::array<std::byte, 128> raw{};
    std::memcpy(raw.data(), &packet, sizeof packet);
    iovec part{raw.data(), bytes};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(64 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd_count > 0) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
      for (size_t i = 0; i < fd_count; ++i) {
        const int fd = b.gateway.get();
        std::memcpy(CMSG_DATA(rights) + i * sizeof(int), &fd, sizeof fd);
      }
    }
    REQUIRE(::sendmsg(b.gateway.get(), &message, 0) == static_cast<ssize_t>(bytes));
  };

  SUBCASE("too short") { send_raw(sizeof packet - 1, 1); }
  SUBCASE("one byte") { send_raw(1, 8); }
  SUBCASE("too long") { send_raw(sizeof packet + 1, 1); }
  SUBCASE("nine descriptors") { send_raw(sizeof packet, 9); }
  SUBCASE("sixty-four descriptors") { send_raw(sizeof packet, 64); }
  SUBCASE("word zero") {
    packet.word = AttachWord{};
    send_raw(sizeof packet, 2);
  }
  SUBCASE("a word of a later version") {
    packet.word = static_cast<AttachWord>(12);
    send_raw(sizeof packet, 2);
  }

  CHECK(receive_packet(b.process.get(), 0).error() == Error::kMessageMalformed);
  CHECK(open_descriptors() == open);
}

TEST_CASE("late word of an arena's end leaves mapped what its row has by now") {
  sluice::tests::World world;
  sluice::tests::WorldArenas source(world);
  Arenas arenas(world.segment(), world.join(Role::kWorker).index, &source);
  const ProcessName first = world.join(Role::kConsumer);
  world.table().set_dead(first);
  world.table().set_free(first);
  const ProcessName second = world.join(Role::kConsumer);
  REQUIRE(second.index == first.index);
  const BlockIndex block = world.segment().block_at(second.index, 0, 0);
  REQUIRE_FALSE(arenas.payload(block).empty());
  source.silent = true;  // it was pushed once, and given away

  arenas.retire(first);
  CHECK_FALSE(arenas.payload(block).empty());

  arenas.retire(second);
  CHECK(arenas.payload(block).empty());
}

TEST_CASE("a worker finds the arenas that were pushed, and only of that incarnation") {
  Bench b;
  PushedArenas arenas(b.process.get());
  const Fd memfd = make_memfd("arena", 8192);
  const int fds[] = {memfd.get()};
  b.push(AttachWord::kArena, 5, 3, fds);

  CHECK_FALSE(arenas.fetch(5, 2));
  CHECK_FALSE(arenas.fetch(4, 3));
  CHECK_FALSE(arenas.fetch(999, 3));
  const Fd found = arenas.fetch(5, 3);
  REQUIRE(found);
  CHECK(inode_of(found.get()) == inode_of(memfd.get()));
  CHECK_FALSE(arenas.fetch(5, 3));  // given away
}

TEST_CASE("a later incarnation's arena replaces the one before, and one that is gone is dropped") {
  Bench b;
  PushedArenas arenas(b.process.get());
  const size_t open = open_descriptors();
  const Fd memfd = make_memfd("arena", 8192);
  const int fds[] = {memfd.get()};

  b.push(AttachWord::kArena, 5, 3, fds);
  b.push(AttachWord::kArena, 5, 4, fds);
  b.push(AttachWord::kArenaGone, 5, 3);  // late: the row is another's by now
  REQUIRE(arenas.drain().ok());
  CHECK(open_descriptors() == open + 2);
  CHECK_FALSE(arenas.fetch(5, 3));

  b.push(AttachWord::kArenaGone, 5, 4);
  CHECK_FALSE(arenas.fetch(5, 4));
  CHECK(open_descriptors() == open + 1);
}

TEST_CASE("a worker's orders come out in order, whoever drained them") {
  Bench b;
  PushedArenas arenas(b.process.get());
  const int fds[] = {b.gateway.get()};
  b.push(AttachWord::kRefused, 1, 0);
  b.push(AttachWord::kArena, 5, 1, fds);
  b.push(AttachWord::kArenaGone, 6, 1);

  CHECK(arenas.fetch(5, 1));
  b.push(AttachWord::kAttached, 3, 0, fds);
  REQUIRE(arenas.drain().ok());

  CHECK(arenas.take_order()->packet.word == AttachWord::kRefused);
  CHECK(arenas.take_order()->packet.word == AttachWord::kArenaGone);
  const auto last = arenas.take_order();
  REQUIRE(last);
  CHECK(last->packet.word == AttachWord::kAttached);
  CHECK(last->fds.size() == 1);
  CHECK_FALSE(arenas.take_order());
}

TEST_CASE("a worker hears of the gateway's end from drain, even if a fetch met it first") {
  Bench b;
  PushedArenas arenas(b.process.get());
  const int fds[] = {b.process.get()};
  b.push(AttachWord::kArena, 5, 1, fds);
  b.gateway.reset();

  CHECK_FALSE(arenas.fetch(6, 1));
  CHECK(arenas.drain().error() == Error::kDetached);
  CHECK(arenas.fetch(5, 1));
}

TEST_CASE("a row beyond the table is no reason to grow") {
  Bench b;
  PushedArenas arenas(b.process.get());
  const int fds[] = {b.process.get()};

  b.push(AttachWord::kArena, 0xffffffff, 1, fds);

  CHECK(arenas.drain().ok());
  CHECK_FALSE(arenas.fetch(0xffff, 1));
}

TEST_CASE("a consumer asks for an arena and waits for that one") {
  Bench b;
  AttachedArenas arenas(b.process.get());
  const Fd memfd = make_memfd("arena", 4096);
  std::thread gateway([&] {
    const auto asked = receive_packet(b.gateway.get(), 60'000);
    REQUIRE(asked.ok());
    REQUIRE(asked->packet.word == AttachWord::kWantArena);
    const int fds[] = {memfd.get()};
    b.push(AttachWord::kArena, 2, 8, fds);  // the late answer to another question
    b.push(AttachWord::kRefused, 0, 0);
    b.push(AttachWord::kArena, asked->packet.process, asked->packet.incarnation, fds);
  });

  const Fd found = arenas.fetch(2, 9);
  gateway.join();

  REQUIRE(found);
  CHECK(inode_of(found.get()) == inode_of(memfd.get()));
  CHECK(arenas.take_order()->packet.word == AttachWord::kRefused);
  CHECK_FALSE(arenas.take_order());
}

TEST_CASE("a consumer gets nothing when the process is gone, the gateway silent, or away") {
  Bench b;
  AttachedArenas arenas(b.process.get());

  b.push(AttachWord::kArena, 2, 9);  // no descriptor: gone
  CHECK_FALSE(arenas.fetch(2, 9));
  const uint64_t before = now_ms();
  CHECK_FALSE(arenas.fetch(2, 9));
  CHECK(now_ms() - before < 30'000);
  b.gateway.reset();
  CHECK_FALSE(arenas.fetch(2, 9));
}

}  // namespace
