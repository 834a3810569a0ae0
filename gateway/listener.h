// gateway/listener.h -- the sockets clients are accepted from, bound before the fork.
//
// N1  The master keeps every socket open until the end, so a worker's death loses no connection
// that
//     waits in its accept queue: the next worker inherits the queue (decisions.md 28).
// N2  TCP: one SO_REUSEPORT socket for each worker and address. Unix sockets and inherited ones are
//     shared by all workers.
// N3  A port somebody listens on is found busy, though SO_REUSEPORT would let us bind beside them.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <string>
#include <vector>

#include "gateway/listen_address.h"
#include "shm/fd.h"
#include "worker/worker.h"

namespace sluice {

class Listeners {
 public:
  // Binds all, `workers` sockets for each TCP address. A busy port is tried again until `patience`
  // is over. Throws std::runtime_error with one line that names the address.
  Listeners(const std::vector<ListenAddress>& addresses, uint32_t workers,
            std::chrono::milliseconds patience);
  // Removes the socket files that are still ours.
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // All sockets in the same order for each worker; `mine` marks those it polls from the start.
  [[nodiscard]] std::vector<InheritedListener> for_worker(uint32_t worker) const;
  // Indices in for_worker() of the sockets that only this worker polls.
  [[nodiscard]] std::vector<uint32_t> own_of(uint32_t worker) const;
  // As a browser or curl takes them, one per address, ports resolved.
  [[nodiscard]] const std::vector<std::string>& urls() const noexcept { return urls_; }
  // Closes the master's sockets and removes the files: no new client comes once workers close
  // theirs.
  void close() noexcept;

 private:
  struct Socket {
    shm::Fd fd;
    int worker = -1;  // -1: shared
    bool is_unix = false;
    std::string host;
    uint16_t port = 0;
  };
  struct File {
    std::string path;
    dev_t device;
    ino_t inode;
  };
  void bind_tcp(const ListenAddress& address, uint32_t workers, std::chrono::milliseconds patience);
  void bind_unix(const ListenAddress& address);
  void take_inherited(const ListenAddress& address);

  std::vector<Socket> sockets_;
  std::vector<File> files_;
  std::vector<std::string> urls_;
};

// The sockets a supervisor passed by LISTEN_PID and LISTEN_FDS (sd_listen_fds(3)); the variables
// are removed, so that no child takes them for its own.
[[nodiscard]] std::vector<ListenAddress> passed_sockets();

}  // namespace sluice
