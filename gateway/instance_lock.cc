// gateway/instance_lock.cc -- see instance_lock.h.
#include "gateway/instance_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace sluice {
namespace {

[[noreturn]] void refuse(const std::string& path) {
  throw std::runtime_error(fmt::format("cannot lock {}: {}", path, std::strerror(errno)));
}

}  // namespace

InstanceLock::InstanceLock(const std::string& control_path) : path_(control_path + ".lock") {
  for (;;) {
    fd_.reset(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_CREAT | O_EXCL, 0600));
    was_stale_ = !fd_;
    if (!fd_ && errno == EEXIST) fd_.reset(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd_ && errno == ENOENT) continue;  // removed between the two
    if (!fd_) refuse(path_);

    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (::fcntl(fd_.get(), F_SETLK, &lock) != 0) {
      if (errno != EAGAIN && errno != EACCES) refuse(path_);
      struct flock holder {};
      holder.l_type = F_WRLCK;
      holder.l_whence = SEEK_SET;
      if (::fcntl(fd_.get(), F_GETLK, &holder) != 0) refuse(path_);
      if (holder.l_type == F_UNLCK) continue;  // just gone
      throw std::runtime_error(
          fmt::format("a gateway is running here already, pid {} (control socket {})", holder.l_pid,
                      path_.substr(0, path_.size() - 5)));
    }
    // Its last holder may have removed the file we opened before we locked it.
    struct stat ours {
    }, named{};
    if (::fstat(fd_.get(), &ours) == 0 && ::stat(path_.c_str(), &named) == 0 &&
        ours.st_dev == named.st_dev && ours.st_ino == named.st_ino) {
      return;
    }
  }
}

InstanceLock::~InstanceLock() { ::unlink(path_.c_str()); }

}  // namespace sluice
