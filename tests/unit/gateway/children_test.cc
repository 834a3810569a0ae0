// tests/unit/gateway/children_test.cc -- another program kept alive, and ended.
#include "gateway/children.h"

#include "tests/unit/gateway/loop_until.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace {

using namespace sluice;

// A program that writes its pid to the file it is given, then waits (or, stubborn, does not listen).
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
  // The process of the child of that number; 0 while it has not said.
  [[nodiscard]] pid_t pid(int number) const {
    pid_t found = 0;
    std::ifstream(folder + "/pid" + std::to_string(number)) >> found;
    return found;
  }
  std::string folder;
  std::string path;
};

constexpr const char* kWaits = "echo $$ > $1/tmp$2; mv $1/tmp$2 $1/pid$2; while :; do sleep 100 & wait $!; done\n";
// The waiting shell's own child would outlive it: it is ended with it.
const std::string kListens = std::string("trap 'kill $!; exit 0' TERM\n") + kWaits;

TEST_CASE("each child runs the program with the control path and its number") {
  const Program program(kListens);
  tests::TestLoop loop;
  bool gone = false;
  Children children(loop.loop, program.path, program.folder, [&] { gone = true; });

  children.start(2);

  CHECK(loop.until([&] { return program.pid(1) > 0 && program.pid(2) > 0; }));
  children.end();
  CHECK(loop.until([&] { return gone; }));
  CHECK(::kill(program.pid(1), 0) != 0);
  CHECK(::kill(program.pid(2), 0) != 0);
}

TEST_CASE("a child that dies is started again") {
  const Program program(kListens);
  tests::TestLoop loop;
  bool gone = false;
  Children children(loop.loop, program.path, program.folder, [&] { gone = true; });
  children.start(1);
  REQUIRE(loop.until([&] { return program.pid(1) > 0; }));
  const pid_t before = program.pid(1);

  ::kill(before, SIGTERM);

  CHECK(loop.until([&] { return program.pid(1) != before; }));
  children.end();
  CHECK(loop.until([&] { return gone; }));
}

TEST_CASE("a child that does not end when asked is killed") {
  const Program program(std::string("trap '' TERM\necho $$ > $1/tmp$2; mv $1/tmp$2 $1/pid$2\nexec sleep 100\n"));
  tests::TestLoop loop;
  bool gone = false;
  Children children(loop.loop, program.path, program.folder, [&] { gone = true; });
  children.start(1);
  REQUIRE(loop.until([&] { return program.pid(1) > 0; }));

  children.end();

  CHECK(loop.until([&] { return gone; }));
  CHECK(::kill(program.pid(1), 0) != 0);
}

TEST_CASE("with no children the end comes at once") {
  tests::TestLoop loop;
  bool gone = false;
  Children children(loop.loop, "", "", [&] { gone = true; });

  children.end();

  CHECK(gone);
}

}  // namespace
