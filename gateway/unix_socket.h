// gateway/unix_socket.h -- binds unix sockets by path, and tells a file left behind from one in
// use.
#pragma once

#include <string>

#include "shm/fd.h"

namespace sluice {

// A bound and listening socket of `type` (SOCK_STREAM, SOCK_SEQPACKET), close-on-exec,
// non-blocking. A socket file nobody listens on is replaced; `mode` are the rights of the file from
// its first moment. Throws std::runtime_error with a line that names the path.
[[nodiscard]] shm::Fd listen_unix(const std::string& path, int type, unsigned mode, int backlog);

}  // namespace sluice
