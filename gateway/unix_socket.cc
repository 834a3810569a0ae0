// gateway/unix_socket.cc -- see unix_socket.h.
#include "gateway/unix_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace sluice {
namespace {

[[noreturn]] void refuse(const std::string& path, const char* why) {
  throw std::runtime_error(fmt::format("cannot listen on unix:{}: {}", path, why));
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) refuse(path, "the path is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

// Removes a file that no process listens on; refuses one that is in use or no socket.
void replace_stale(const std::string& path, int type) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return;
    refuse(path, std::strerror(errno));
  }
  if (!S_ISSOCK(found.st_mode)) refuse(path, "the file exists and is no socket");
  const sockaddr_un address = address_of(path);
  const shm::Fd probe(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) refuse(path, std::strerror(errno));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN || errno == EPROTOTYPE) {
    refuse(path, "a living process listens on it");
  }
  if (errno != ECONNREFUSED) refuse(path, std::strerror(errno));
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) refuse(path, std::strerror(errno));
}

}  // namespace

shm::Fd listen_unix(const std::string& path, int type, unsigned mode, int backlog) {
  replace_stale(path, type);
  const sockaddr_un address = address_of(path);
  shm::Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) refuse(path, std::strerror(errno));
  const mode_t before = ::umask(0777 & ~mode);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int why = errno;
  ::umask(before);
  if (bound != 0) refuse(path, std::strerror(why));
  if (::listen(fd.get(), backlog) != 0) refuse(path, std::strerror(errno));
  return fd;
}

}  // namespace sluice
