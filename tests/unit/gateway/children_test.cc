// tests/unit/gateway/children_test.cc -- another program kept alive, and ended.
#include "gateway/children.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/unit/gateway/loop_until.h"

namespace {

using namespace sluice;

// A program that says its pid in a file of its folder.
struct Program {
  explicit Program(const std::string& body) {
    char name[] = "/tmp/sluice-children-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    folder = name;
    path = folder + "/program";
    std::ofstream(path) << "#!/bin/sh\n" << body;
    ::chmod(path.c_str(), 0700);
  }
  ~Program() { std::filesystem::remove_all(folder); }
  // The processes that said they run, in the order they did.
  [[nodiscard]] std::vector<pid_t> pids() const {
    std::vector<pid_t> found;
    std::ifstream file(folder + "/pids");
    for (pid_t pid = 0; file >> pid;) found.push_back(pid);
    return found;
  }
  std::string folder;
  std::string path;
};

// Waits inside the shell: a program it waited for would outlive a shell that is killed.
constexpr const char* kListens =
    "trap 'exit 0' TERM\nmkfifo $1/$$\nexec 3<>$1/$$\necho $$ >> $1/pids\n"
    "while :; do read -r _ <&3; done\n";

TEST_CASE("each child runs the program with the control path") {
  const Program program(kListens);
  tests::TestLoop loop;
  bool gone = false;
  Children children(loop.loop, program.path, program.folder, [&] { gone = true; });

  children.start(2);

  CHECK(loop.until([&] { return program.pids().size() == 2; }));
  children.end();
  CHECK(loop.until([&] { return gone; }));
  for (const pid_t pid : program.pids()) CHECK(::kill(pid, 0) != 0);
}

TEST_CASE("a child that dies is started again") {
  const Program program(kListens);
  tests::TestLoop loop;
  bool gone = false;
  Children children(loop.loop, program.path, program.folder, [&] { gone = true; });
  children.start(1);
  REQUIRE(loop.until([&] { return program.pids().size() == 1; }));

  ::kill(program.pids()[0], SIGTERM);

  CHECK(loop.until([&] { return program.pids().size() == 2; }));
  children.end();
  CHECK(loop.until([&] { return gone; }));
}

TEST_CASE("a child that does not end when asked is killed") {
  const Program program("trap '' TERM\necho $$ >> $1/pids\nexec sleep 100\n");
  tests::TestLoop loop;
  bool gone = false;
  Children children(loop.loop, program.path, program.folder, [&] { gone = true; });
  children.start(1);
  REQUIRE(loop.until([&] { return program.pids().size() == 1; }));

  children.end();

  CHECK(loop.until([&] { return gone; }));
  CHECK(::kill(program.pids()[0], 0) != 0);
}

TEST_CASE("with no children the end comes at once") {
  tests::TestLoop loop;
  bool gone = false;
  Children children(loop.loop, "", "", [&] { gone = true; });

  children.end();

  CHECK(gone);
}

}  // namespace
