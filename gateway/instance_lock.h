// gateway/instance_lock.h -- one living gateway per control socket.
//
// An fcntl lock of the master on a file beside the control socket: the kernel drops it with the
// process, and forked workers do not inherit it (flock would live on in them, decisions.md 27).
#pragma once

#include <string>

#include "shm/fd.h"

namespace sluice {

class InstanceLock {
 public:
  // Takes `<control_path>.lock`. Throws std::runtime_error: "… a gateway is running here already,
  // pid N".
  explicit InstanceLock(const std::string& control_path);
  // Removes the file.
  ~InstanceLock();
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;

  // The file was there and nobody held it: a gateway was killed.
  [[nodiscard]] bool was_stale() const noexcept { return was_stale_; }

 private:
  std::string path_;
  shm::Fd fd_;
  bool was_stale_ = false;
};

}  // namespace sluice
