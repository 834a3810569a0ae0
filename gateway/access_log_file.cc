// gateway/access_log_file.cc -- see access_log_file.h.
#include "gateway/access_log_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "worker/log.h"

namespace sluice {
namespace {

using shm::Fd;

constexpr int kFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

Fd open_path(const std::string& path) noexcept {
  return Fd(::open(path.c_str(), kFlags | O_CREAT, 0644));  // umask has the last word
}

Fd open_standard_output() noexcept {
  struct stat file {};
  if (::fstat(STDOUT_FILENO, &file) != 0) return Fd{};
  if (S_ISREG(file.st_mode) || S_ISSOCK(file.st_mode)) {
    return Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  }
  return Fd(::open("/proc/self/fd/1", kFlags));  // F2
}

// What went wrong, and what to do about it where the system's words do not say.
std::string why(int error) {
  const std::string words = std::strerror(error);
  return error == ENXIO ? words + "; is it a FIFO that nobody reads?" : words;
}

}  // namespace

AccessLogFile::AccessLogFile(std::string where) : where_(std::move(where)) {
  if (where_ == "off") return;
  const bool standard = where_ == "-";
  fd_ = standard ? open_standard_output() : open_path(where_);
  if (fd_) return;
  throw std::runtime_error(fmt::format("cannot open the access log {}: {}",
                                       standard ? "on standard output" : where_, why(errno)));
}

bool AccessLogFile::reopen() noexcept {
  if (where_ == "off" || where_ == "-") return false;
  Fd opened = open_path(where_);
  if (!opened) {
    log_event(LogLevel::kError, "access_log_not_reopened",
              {{"path", where_}, {"why", std::strerror(errno)}});
    return false;
  }
  fd_ = std::move(opened);
  log_event(LogLevel::kInfo, "access_log_reopened", {{"path", where_}});
  return true;
}

}  // namespace sluice
