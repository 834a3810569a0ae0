// gateway/control_socket.h -- the listening socket consumers attach on; it outlives the segments they
// attach to.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "gateway/unix_socket.h"
#include "protocol/limits.h"

namespace sluice {

class ControlSocket {
 public:
  // Binds and listens. Throws std::runtime_error.
  explicit ControlSocket(std::string path)
      : path_(std::move(path)),
        fd_(listen_unix(path_, SOCK_SEQPACKET, 0600, limits::kUnattachedSockets)) {}
  // Removes the socket file.
  ~ControlSocket() { ::unlink(path_.c_str()); }
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  std::string path_;
  shm::Fd fd_;
};

}  // namespace sluice
