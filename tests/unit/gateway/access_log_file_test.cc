// tests/unit/gateway/access_log_file_test.cc -- the access log opened, opened again, and refused.
#include "gateway/access_log_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace {

using sluice::AccessLogFile;
using sluice::shm::Fd;

struct Folder {
  Folder() {
    char name[] = "/tmp/sluice-access-log-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

std::string text_of(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}
void write(const AccessLogFile& log, std::string_view text) {
  REQUIRE(::write(log.fd(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}
std::string refusal(const std::string& where) {
  try {
    const AccessLogFile log(where);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

// Standard output is something else while this lives.
struct StandardOutput {
  explicit StandardOutput(int fd) : before(::dup(STDOUT_FILENO)) {
    REQUIRE(::dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
  }
  ~StandardOutput() { ::dup2(before.get(), STDOUT_FILENO); }
  Fd before;
};

TEST_CASE("an access log that is off opens nothing") {
  AccessLogFile log("off");

  CHECK(log.fd() == -1);
  CHECK_FALSE(log.reopen());
}

TEST_CASE("a log is made where there is none, and added to where there is one") {
  const Folder folder;
  const std::string path = folder.path + "/access.log";
  write(AccessLogFile(path), "one\n");
  const AccessLogFile again(path);

  write(again, "two\n");

  CHECK(text_of(path) == "one\ntwo\n");
  CHECK((::fcntl(again.fd(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a log that was moved away is opened anew") {
  const Folder folder;
  const std::string path = folder.path + "/access.log";
  AccessLogFile log(path);
  write(log, "one\n");
  REQUIRE(::rename(path.c_str(), (path + ".1").c_str()) == 0);
  write(log, "two\n");

  CHECK(log.reopen());
  write(log, "three\n");

  CHECK(text_of(path + ".1") == "one\ntwo\n");
  CHECK(text_of(path) == "three\n");
}

TEST_CASE("a log that cannot be opened anew is the old one still") {
  const Folder folder;
  const std::string path = folder.path + "/access.log";
  AccessLogFile log(path);
  REQUIRE(::rename(path.c_str(), (path + ".1").c_str()) == 0);
  REQUIRE(::mkdir(path.c_str(), 0700) == 0);

  CHECK_FALSE(log.reopen());
  write(log, "kept\n");

  CHECK(text_of(path + ".1") == "kept\n");
}

TEST_CASE("a log that cannot be opened at the start is one line that says why") {
  const Folder folder;
  const std::string fifo = folder.path + "/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);

  CHECK(refusal("/nowhere/access.log") == "cannot open the access log /nowhere/access.log: No such file or directory");
  CHECK(refusal(folder.path) == "cannot open the access log " + folder.path + ": Is a directory");
  CHECK(refusal(fifo).ends_with("/fifo: No such device or address; is it a FIFO that nobody reads?"));
}

TEST_CASE("a pipe on standard output does not block us, and blocks whom it did before") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd reads(ends[0]);
  const Fd writes(ends[1]);
  const StandardOutput output(writes.get());

  AccessLogFile log("-");
  write(log, "line\n");

  CHECK((::fcntl(log.fd(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0);
  char bytes[16];
  CHECK(::read(reads.get(), bytes, sizeof bytes) == 5);
  CHECK_FALSE(log.reopen());
}

TEST_CASE("a socket on standard output is written to as it is") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Fd reads(ends[0]);
  const Fd writes(ends[1]);
  const StandardOutput output(writes.get());

  const AccessLogFile log("-");
  write(log, "line\n");

  char bytes[16];
  CHECK(::read(reads.get(), bytes, sizeof bytes) == 5);
}

TEST_CASE("a closed standard output is one line that says so") {
  const Fd before(::dup(STDOUT_FILENO));
  ::close(STDOUT_FILENO);

  const std::string line = refusal("-");

  ::dup2(before.get(), STDOUT_FILENO);
  CHECK(line == "cannot open the access log on standard output: Bad file descriptor");
}

}  // namespace
