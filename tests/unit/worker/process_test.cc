// tests/unit/worker/process_test.cc -- processes as the kernel shows them.
#include "worker/process.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

namespace {

using namespace sluice;

TEST_CASE("the start time is found behind a name that holds parentheses and blanks") {
  std::string stat = "42 (a) b) c) S";
  for (int field = 4; field <= 25; ++field) stat += " " + std::to_string(field * 100);

  CHECK(parse_start_time(stat) == 2200);
}

TEST_CASE("a stat text that is cut short or no text gives no start time") {
  CHECK_FALSE(parse_start_time("").has_value());
  CHECK_FALSE(parse_start_time("42 (name").has_value());
  CHECK_FALSE(parse_start_time("42 (name)").has_value());
  CHECK_FALSE(parse_start_time("42 (name) S 1 2 3").has_value());
}

TEST_CASE("a living process has a start time, a process that never was has none") {
  CHECK(start_time_of(::getpid()).has_value());
  CHECK(start_time_of(::getpid()) == start_time_of(::getpid()));
  CHECK_FALSE(start_time_of(0x7ffffff0).has_value());
}

TEST_CASE("a pidfd tells a death, and only a death") {
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  const shm::Fd pidfd = open_pidfd(child);
  REQUIRE(pidfd);

  CHECK_FALSE(has_died(pidfd.get()));
  send_signal(pidfd.get(), SIGKILL);
  pollfd asked{pidfd.get(), POLLIN, 0};
  REQUIRE(::poll(&asked, 1, 10'000) == 1);

  CHECK(has_died(pidfd.get()));
  ::waitpid(child, nullptr, 0);
}

TEST_CASE("a mapping for writing is seen while it is there, one for reading is not") {
  const shm::Fd memfd(::memfd_create("test", MFD_CLOEXEC));
  REQUIRE(::ftruncate(memfd.get(), 4096) == 0);
  struct stat file {};
  REQUIRE(::fstat(memfd.get(), &file) == 0);
  const auto writes = [&] { return writes_mapping(::getpid(), file.st_dev, file.st_ino); };

  CHECK(writes() == false);
  void* const read_only = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, memfd.get(), 0);
  CHECK(writes() == false);
  void* const writable = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memfd.get(), 0);
  CHECK(writes() == true);
  ::munmap(writable, 4096);
  CHECK(writes() == false);
  ::munmap(read_only, 4096);
  CHECK_FALSE(writes_mapping(0x7ffffff0, file.st_dev, file.st_ino).has_value());
}

}  // namespace
