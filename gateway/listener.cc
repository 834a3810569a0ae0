// gateway/listener.cc -- see listener.h.
#include "gateway/listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "gateway/unix_socket.h"
#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice {
namespace {

using shm::Fd;

[[noreturn]] void refuse(const std::string& address, const std::string& why) {
  throw std::runtime_error(fmt::format("cannot listen on {}: {}", address, why));
}

void switch_on(int fd, int level, int name) noexcept {
  const int on = 1;
  static_cast<void>(::setsockopt(fd, level, name, &on, sizeof on));
}

// An address the resolver gave, with its port; sockaddr_storage is large enough for both families.
struct Resolved {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* address() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage);
  }
  [[nodiscard]] uint16_t port() const noexcept {
    return ntohs(storage.ss_family == AF_INET6
                     ? reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port
                     : reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  }
  void set_port(uint16_t port) noexcept {
    if (storage.ss_family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(port);
    } else {
      reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
    }
  }
};

std::vector<Resolved> resolve(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failed =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (failed != 0) refuse(to_string(address), ::gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, ::freeaddrinfo);
  std::vector<Resolved> all;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family != AF_INET && one->ai_family != AF_INET6) continue;
    Resolved resolved;
    std::memcpy(&resolved.storage, one->ai_addr, one->ai_addrlen);
    resolved.length = one->ai_addrlen;
    all.push_back(resolved);
  }
  if (all.empty()) refuse(to_string(address), "no such address");
  return all;
}

// A socket bound to the address; errno tells why there is none.
Fd bound_to(const Resolved& resolved, bool share_port) noexcept {
  Fd fd(::socket(resolved.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fd;
  switch_on(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  if (share_port) switch_on(fd.get(), SOL_SOCKET, SO_REUSEPORT);
  if (resolved.storage.ss_family == AF_INET6) switch_on(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  switch_on(fd.get(), IPPROTO_TCP, TCP_NODELAY);
  if (::bind(fd.get(), resolved.address(), resolved.length) != 0) {
    const int why = errno;
    fd.reset();
    errno = why;
  }
  return fd;
}

Resolved name_of_socket(int fd) noexcept {
  Resolved resolved;
  resolved.length = sizeof resolved.storage;
  static_cast<void>(
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&resolved.storage), &resolved.length));
  return resolved;
}

// N3: without SO_REUSEPORT, so that a listener of anybody is met. Gives the port, chosen if it was
// 0.
uint16_t probe(const Resolved& resolved, const std::string& text,
               std::chrono::milliseconds patience) {
  const uint64_t deadline = shm::now_ms() + static_cast<uint64_t>(patience.count());
  for (;;) {
    const Fd fd = bound_to(resolved, false);
    if (fd) return name_of_socket(fd.get()).port();
    const int why = errno;
    if (why != EADDRINUSE || shm::now_ms() >= deadline) {
      refuse(text, why == EADDRINUSE ? "the port is in use" : std::strerror(why));
    }
    const timespec pause{0, 20'000'000};  // workers of a killed gateway are letting it go
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

Listeners::Listeners(const std::vector<ListenAddress>& addresses, uint32_t workers,
                     std::chrono::milliseconds patience) {
  try {
    for (const ListenAddress& address : addresses) {
      switch (address.kind) {
        case ListenAddress::Kind::kTcp:
          bind_tcp(address, workers, patience);
          break;
        case ListenAddress::Kind::kUnix:
          bind_unix(address);
          break;
        case ListenAddress::Kind::kFd:
          take_inherited(address);
          break;
      }
    }
  } catch (...) {
    close();
    throw;
  }
}

Listeners::~Listeners() { close(); }

void Listeners::bind_tcp(const ListenAddress& address, uint32_t workers,
                         std::chrono::milliseconds patience) {
  uint16_t port = address.port;
  for (Resolved& resolved : resolve(address)) {
    resolved.set_port(port);
    ListenAddress named = address;
    named.port = port =
        probe(resolved, to_string(address), patience);  // a name's addresses share it
    resolved.set_port(port);
    for (uint32_t worker = 0; worker < workers; ++worker) {
      Fd fd = bound_to(resolved, true);
      if (!fd || ::listen(fd.get(), limits::kListenBacklog) != 0) {
        refuse(to_string(named), errno == EADDRINUSE ? "the port is in use" : std::strerror(errno));
      }
      sockets_.push_back({std::move(fd), static_cast<int>(worker), false, address.host, port});
    }
  }
  ListenAddress named = address;
  named.port = port;
  urls_.push_back("http://" + to_string(named) + "/");
}

void Listeners::bind_unix(const ListenAddress& address) {
  const mode_t umask = ::umask(0);
  ::umask(umask);
  Fd fd = listen_unix(address.host, SOCK_STREAM, 0777 & ~umask, limits::kListenBacklog);
  struct stat file {};
  if (::stat(address.host.c_str(), &file) == 0)
    files_.push_back({address.host, file.st_dev, file.st_ino});
  sockets_.push_back({std::move(fd), -1, true, address.host, 0});
  urls_.push_back(to_string(address));
}

void Listeners::take_inherited(const ListenAddress& address) {
  const std::string text = to_string(address);
  int type = 0;
  socklen_t length = sizeof type;
  if (::getsockopt(address.fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
    refuse(text, std::strerror(errno));
  const sa_family_t family = name_of_socket(address.fd).storage.ss_family;
  if (type != SOCK_STREAM || (family != AF_INET && family != AF_INET6 && family != AF_UNIX)) {
    refuse(text, "not a stream socket of TCP or unix");
  }
  Fd fd(::fcntl(address.fd, F_DUPFD_CLOEXEC, 3));
  if (!fd || ::listen(fd.get(), limits::kListenBacklog) != 0) refuse(text, std::strerror(errno));
  static_cast<void>(::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK));
  ::close(address.fd);

  const Resolved name = name_of_socket(fd.get());
  Socket socket{std::move(fd), -1, family == AF_UNIX, "", 0};
  if (family == AF_UNIX) {
    const auto* const path = reinterpret_cast<const sockaddr_un*>(&name.storage);
    socket.host = path->sun_path[0] == '/' ? path->sun_path : "";
    urls_.push_back("unix:" + socket.host);
  } else {
    char host[NI_MAXHOST] = "";
    static_cast<void>(
        ::getnameinfo(name.address(), name.length, host, sizeof host, nullptr, 0, NI_NUMERICHOST));
    socket.host = host;
    socket.port = name.port();
    ListenAddress named;
    named.host = socket.host;
    named.port = socket.port;
    urls_.push_back("http://" + to_string(named) + "/");
  }
  sockets_.push_back(std::move(socket));
}

std::vector<InheritedListener> Listeners::for_worker(uint32_t worker) const {
  std::vector<InheritedListener> all;
  for (const Socket& socket : sockets_) {
    InheritedListener listener;
    listener.fd = socket.fd.get();
    listener.mine = socket.worker < 0 || socket.worker == static_cast<int>(worker);
    listener.unix_socket = socket.is_unix;
    listener.host = socket.host;
    listener.port = socket.port;
    all.push_back(std::move(listener));
  }
  return all;
}

std::vector<uint32_t> Listeners::own_of(uint32_t worker) const {
  std::vector<uint32_t> own;
  for (uint32_t i = 0; i < sockets_.size(); ++i) {
    if (sockets_[i].worker == static_cast<int>(worker)) own.push_back(i);
  }
  return own;
}

void Listeners::close() noexcept {
  sockets_.clear();
  for (const File& file : files_) {
    struct stat found {};
    if (::lstat(file.path.c_str(), &found) == 0 && found.st_dev == file.device &&
        found.st_ino == file.inode) {
      ::unlink(file.path.c_str());
    }
  }
  files_.clear();
}

std::vector<ListenAddress> passed_sockets() {
  std::vector<ListenAddress> all;
  const char* const pid = std::getenv("LISTEN_PID");
  const char* const count = std::getenv("LISTEN_FDS");
  if (pid != nullptr && count != nullptr && std::to_string(::getpid()) == pid) {
    for (int i = 0; i < std::atoi(count) && i < limits::kPassedSockets; ++i) {
      ListenAddress address;
      address.kind = ListenAddress::Kind::kFd;
      address.fd = 3 + i;
      all.push_back(address);
    }
  }
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  return all;
}

}  // namespace sluice
