// tests/unit/worker/line_file_test.cc -- lines to files, pipes and sockets that take all, some or nothing.
#include "worker/line_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <string>

#include "tests/support/nameless_file.h"

namespace {

using sluice::LineFile;
using Plain = sluice::tests::NamelessFile;
using sluice::shm::Fd;
namespace limits = sluice::limits;

bool add(LineFile& file, std::string_view text) {
  char* const place = file.begin_line();
  if (place == nullptr) return false;
  text.copy(place, text.size());
  place[text.size()] = '\n';
  file.end_line(text.size() + 1);
  return true;
}

// What is there to be read now.
std::string taken(const Fd& from) {
  std::string all;
  char bytes[8192];
  for (ssize_t got = 0; (got = ::read(from.get(), bytes, sizeof bytes)) > 0;) {
    all.append(bytes, static_cast<size_t>(got));
  }
  return all;
}

struct Pipe {
  Pipe() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    reads.reset(ends[0]);
    writes.reset(ends[1]);
    REQUIRE(::fcntl(reads.get(), F_SETPIPE_SZ, 8192) == 8192);
  }
  Fd reads, writes;
};

// So many bytes may a file have, for as long as this lives.
struct Room {
  explicit Room(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    set(bytes);
  }
  ~Room() { ::setrlimit(RLIMIT_FSIZE, &before); }
  void set(rlim_t bytes) const {
    const rlimit now{bytes, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &now) == 0);
  }
  rlimit before{};
};

TEST_CASE("lines are written when flushed, not before") {
  const Plain plain;
  LineFile file(plain.another());

  add(file, "one");
  add(file, "two");
  CHECK(plain.text().empty());
  CHECK(file.flush());

  CHECK(plain.text() == "one\ntwo\n");
  CHECK(file.empty());
}

TEST_CASE("a full buffer is written though nobody flushes, and every line is there") {
  const Plain plain;
  LineFile file(plain.another());
  const std::string text(1000, 'x');

  for (int i = 0; i < 200; ++i) REQUIRE(add(file, text));
  file.flush();

  CHECK(plain.text().size() == 200 * 1001);
  CHECK(file.lost() == 0);
}

TEST_CASE("a pipe that is full gets whole lines, and the rest when somebody reads") {
  const Pipe pipe;
  LineFile file(Fd(::dup(pipe.writes.get())));
  const std::string text(1000, 'x');
  for (int i = 0; i < 20; ++i) REQUIRE(add(file, text));

  CHECK_FALSE(file.flush());

  CHECK(file.waits());
  std::string got = taken(pipe.reads);
  CHECK(got.size() % 1001 == 0);
  while (!file.flush()) got += taken(pipe.reads);
  got += taken(pipe.reads);
  CHECK(got.size() == 20 * 1001);
  CHECK(file.lost() == 0);
}

TEST_CASE("a pipe that nobody empties loses what finds the buffer full, counts it, and never waits") {
  const Pipe pipe;
  LineFile file(Fd(::dup(pipe.writes.get())));
  const std::string text(1000, 'x');
  int lost = 0;
  for (int i = 0; i < 200; ++i) lost += add(file, text) ? 0 : 1;

  CHECK(lost > 100);
  CHECK(file.lost() == static_cast<uint64_t>(lost));
  std::string got;
  for (bool done = false; !done;) {
    got += taken(pipe.reads);
    done = file.flush();
  }
  got += taken(pipe.reads);
  CHECK(got.size() == static_cast<size_t>(200 - lost) * 1001);
  CHECK(add(file, text));
}

TEST_CASE("a pipe whose reader is gone loses lines, and no signal comes") {
  ::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  LineFile file(Fd(::dup(pipe.writes.get())));
  pipe.reads.reset();
  add(file, "one");
  add(file, "two");

  CHECK(file.flush());

  CHECK(file.empty());
  CHECK(file.lost() == 2);
  CHECK(file.error() == EPIPE);
}

TEST_CASE("a socket that blocks for others does not for us") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Fd reads(ends[0]);
  LineFile file{Fd(ends[1])};
  const std::string text(4000, 'x');
  int added = 0;
  while (added < 1000 && add(file, text)) ++added;

  CHECK(added < 1000);
  CHECK(file.error() == EAGAIN);
  ::fcntl(reads.get(), F_SETFL, O_NONBLOCK);
  std::string got;
  for (bool done = false; !done;) {
    got += taken(reads);
    done = file.flush();
  }
  got += taken(reads);
  CHECK(got.size() == static_cast<size_t>(added) * 4001);
}

TEST_CASE("a device without space loses lines and counts them") {
  LineFile file(Fd(::open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC)));
  for (int i = 0; i < 3; ++i) add(file, "lost");

  CHECK(file.flush());

  CHECK(file.empty());
  CHECK(file.lost() == 3);
  CHECK(file.error() == ENOSPC);
}

TEST_CASE("a line that a full file took by half is made whole when there is room again") {
  const Plain plain;
  LineFile file(plain.another());
  const Room room(10);
  add(file, "first");
  add(file, "second");
  add(file, "third");

  CHECK(file.flush());
  CHECK(plain.text() == "first\nseco");
  CHECK(file.lost() == 1);
  CHECK(file.error() == EFBIG);
  room.set(RLIM_INFINITY == room.before.rlim_max ? 1 << 20 : room.before.rlim_max);
  add(file, "fourth");
  CHECK(file.flush());

  CHECK(plain.text() == "first\nsecond\nfourth\n");
  CHECK(file.empty());
}

TEST_CASE("half a line never gets into another file; whole lines that wait do") {
  const Plain full, next;
  LineFile file(full.another());
  {
    const Room room(10);
    add(file, "first");
    add(file, "second");
    file.flush();
    REQUIRE(full.text() == "first\nseco");
    file.become(next.another());
  }
  CHECK(file.lost() == 1);
  add(file, "third");
  file.flush();
  CHECK(next.text() == "third\n");

  const Pipe pipe;
  LineFile stuck(Fd(::dup(pipe.writes.get())));
  const std::string text(1000, 'x');
  for (int i = 0; i < 20; ++i) REQUIRE(add(stuck, text));
  const Plain rescue;
  stuck.become(rescue.another());
  stuck.flush();
  CHECK(taken(pipe.reads).size() + rescue.text().size() == 20 * 1001);
  CHECK(stuck.lost() == 0);
}

TEST_CASE("what was gathered before another file came goes to the old one") {
  const Plain before, after;
  LineFile file(before.another());

  add(file, "one");
  file.become(after.another());
  add(file, "two");
  file.flush();

  CHECK(before.text() == "one\n");
  CHECK(after.text() == "two\n");
}

}  // namespace
