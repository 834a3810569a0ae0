// tests/unit/gateway/listener_test.cc -- sockets bound before the fork, and the instance lock.
#include "gateway/listener.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "gateway/instance_lock.h"
#include "gateway/unix_socket.h"
#include "shm/clock.h"

namespace {

using namespace sluice;
using shm::Fd;
using std::chrono::milliseconds;

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/sluice-listener-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::vector<ListenAddress> addresses(std::initializer_list<std::string> texts) {
  std::vector<ListenAddress> all;
  for (const std::string& text : texts) all.push_back(parse_listen_address(text));
  return all;
}

template <class Make>
std::string refusal(Make make) {
  try {
    make();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

Fd connect_to(uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fd.reset();
  return fd;
}

// Leaves the file of a socket nobody listens on.
void leave_socket_file(const std::string& path) {
  const Fd fd = listen_unix(path, SOCK_STREAM, 0600, 1);
}

// The process sleeps in the kernel.
bool is_resting(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.substr(name_end, 3) == ") S";
}

TEST_CASE("each worker has its own socket of a TCP address, and all inherit all in one order") {
  const Listeners listeners(addresses({"127.0.0.1:0"}), 3, milliseconds(0));

  const auto second = listeners.for_worker(1);

  REQUIRE(second.size() == 3);
  CHECK_FALSE(second[0].mine);
  CHECK(second[1].mine);
  CHECK_FALSE(second[2].mine);
  CHECK(second[1].fd == listeners.for_worker(0)[1].fd);
  CHECK(second[1].host == "127.0.0.1");
  CHECK(listeners.own_of(1) == std::vector<uint32_t>{1});
}

TEST_CASE("port 0 is resolved once, for all workers and in the URL") {
  const Listeners listeners(addresses({"127.0.0.1:0"}), 2, milliseconds(0));

  const auto all = listeners.for_worker(0);

  CHECK(all[0].port != 0);
  CHECK(all[1].port == all[0].port);
  CHECK(listeners.urls() ==
        std::vector<std::string>{"http://127.0.0.1:" + std::to_string(all[0].port) + "/"});
  CHECK(connect_to(all[0].port));
}

TEST_CASE("a port that another gateway of the same user shares is found busy") {
  const Listeners first(addresses({"127.0.0.1:0"}), 1, milliseconds(0));
  const std::string same = "127.0.0.1:" + std::to_string(first.for_worker(0)[0].port);

  const std::string line =
      refusal([&] { const Listeners second(addresses({same}), 1, milliseconds(0)); });

  CHECK(line == "cannot listen on " + same + ": the port is in use");
}

TEST_CASE("a busy port is tried again while patience lasts, and had once it is free") {
  auto first = std::make_unique<Listeners>(addresses({"127.0.0.1:0"}), 1, milliseconds(0));
  const uint16_t port = first->for_worker(0)[0].port;
  const pid_t tester = ::getpid();
  const pid_t holder = ::fork();  // holds the port until we have found it busy, and rest
  if (holder == 0) {
    while (!is_resting(tester)) {
    }
    ::_exit(0);
  }
  first.reset();

  const Listeners second(addresses({"127.0.0.1:" + std::to_string(port)}), 1, milliseconds(10'000));

  CHECK(second.for_worker(0)[0].port == port);
  ::waitpid(holder, nullptr, 0);
}

TEST_CASE("a name that does not resolve is refused with the address") {
  const std::string line =
      refusal([] { const Listeners none(addresses({"no such host:80"}), 1, milliseconds(0)); });

  CHECK(line.starts_with("cannot listen on no such host:80: "));
}

TEST_CASE("a unix socket is shared by all workers, and its file goes with the listeners") {
  const Folder folder;
  const std::string path = folder.file("web");
  {
    const Listeners listeners(addresses({"unix:" + path}), 2, milliseconds(0));

    CHECK(listeners.for_worker(0).size() == 1);
    CHECK(listeners.for_worker(0)[0].mine);
    CHECK(listeners.for_worker(1)[0].mine);
    CHECK(listeners.own_of(0).empty());
    CHECK(listeners.urls() == std::vector<std::string>{"unix:" + path});
    CHECK(std::filesystem::exists(path));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("the socket file of a killed gateway is replaced") {
  const Folder folder;
  const std::string path = folder.file("web");
  leave_socket_file(path);

  const Listeners listeners(addresses({"unix:" + path}), 1, milliseconds(0));

  CHECK(listeners.for_worker(0).size() == 1);
}

TEST_CASE("a unix socket somebody listens on is refused, and its file stays") {
  const Folder folder;
  const std::string path = folder.file("web");
  const Fd living = listen_unix(path, SOCK_STREAM, 0600, 1);

  const std::string line =
      refusal([&] { const Listeners second(addresses({"unix:" + path}), 1, milliseconds(0)); });

  CHECK(line == "cannot listen on unix:" + path + ": a living process listens on it");
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("a file that is no socket is never removed") {
  const Folder folder;
  const std::string path = folder.file("web");
  std::ofstream(path) << "mine";

  const std::string line =
      refusal([&] { const Listeners none(addresses({"unix:" + path}), 1, milliseconds(0)); });

  CHECK(line == "cannot listen on unix:" + path + ": the file exists and is no socket");
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("a file that a successor put in our place is not removed") {
  const Folder folder;
  const std::string path = folder.file("web");
  auto listeners = std::make_unique<Listeners>(addresses({"unix:" + path}), 1, milliseconds(0));
  std::filesystem::remove(path);
  std::ofstream(path) << "a successor's";

  listeners.reset();

  CHECK(std::filesystem::exists(path));
}

TEST_CASE("a passed descriptor is taken over, whatever its number, and another kind is refused") {
  Fd passed(::socket(AF_INET, SOCK_STREAM, 0));
  const std::string text = "fd:" + std::to_string(passed.get());
  {
    const Listeners listeners(addresses({text}), 2, milliseconds(0));
    static_cast<void>(passed.release());  // theirs now

    CHECK(listeners.for_worker(1)[0].mine);
    CHECK(connect_to(listeners.for_worker(0)[0].port));
  }
  Fd datagrams(::socket(AF_INET, SOCK_DGRAM, 0));
  const std::string wrong = "fd:" + std::to_string(datagrams.get());
  CHECK(refusal([&] { const Listeners none(addresses({wrong}), 1, milliseconds(0)); }) ==
        "cannot listen on " + wrong + ": not a stream socket of TCP or unix");
}

TEST_CASE("sockets of a supervisor are only taken when they are meant for this process") {
  ::setenv("LISTEN_FDS", "2", 1);
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  const auto ours = passed_sockets();
  ::setenv("LISTEN_FDS", "2", 1);
  ::setenv("LISTEN_PID", "1", 1);
  const auto others = passed_sockets();

  REQUIRE(ours.size() == 2);
  CHECK(ours[1].fd == 4);
  CHECK(others.empty());
  CHECK(std::getenv("LISTEN_FDS") == nullptr);
}

TEST_CASE("a living gateway's lock is refused with its pid, a dead one's is taken") {
  const Folder folder;
  const std::string control = folder.file("control");
  int ready[2], go[2];
  REQUIRE(::pipe(ready) == 0);
  REQUIRE(::pipe(go) == 0);
  const pid_t living = ::fork();
  if (living == 0) {
    const InstanceLock lock(control);
    char byte = 0;
    static_cast<void>(::write(ready[1], "", 1) + ::read(go[0], &byte, 1));
    ::_exit(0);  // like a kill: the file stays
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);

  const std::string line = refusal([&] { const InstanceLock second(control); });
  REQUIRE(::write(go[1], "", 1) == 1);
  ::waitpid(living, nullptr, 0);

  CHECK(line == "a gateway is running here already, pid " + std::to_string(living) +
                    " (control socket " + control + ")");
  {
    const InstanceLock third(control);
    CHECK(third.was_stale());
  }
  CHECK_FALSE(std::filesystem::exists(control + ".lock"));
  CHECK_FALSE(InstanceLock(control).was_stale());
  for (const int fd : {ready[0], ready[1], go[0], go[1]}) ::close(fd);
}

}  // namespace
