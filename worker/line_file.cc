// worker/line_file.cc -- see line_file.h.
#include "worker/line_file.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string_view>
#include <utility>

namespace sluice {
namespace {

static_assert(limits::kAccessLineBytes <= PIPE_BUF);

ssize_t write_once(int fd, bool is_socket, const char* bytes, size_t size) noexcept {
  ssize_t written = -1;
  do {
    written = is_socket ? ::send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) : ::write(fd, bytes, size);
  } while (written < 0 && errno == EINTR);
  return written;
}

}  // namespace

LineFile::LineFile(shm::Fd fd)
    : fd_(std::move(fd)), buffer_(std::make_unique<char[]>(limits::kAccessBufferBytes)) {
  look_at_kind();
}

void LineFile::look_at_kind() noexcept {
  struct stat file {};
  if (::fstat(fd_.get(), &file) != 0) return;
  kind_ = S_ISREG(file.st_mode) ? Kind::kFile : S_ISSOCK(file.st_mode) ? Kind::kSocket : Kind::kOther;
}

char* LineFile::begin_line() noexcept {
  const auto room = [this] { return limits::kAccessBufferBytes - first_ - size_; };
  if (room() < limits::kAccessLineBytes) {
    if (!waits_) flush();
    if (first_ > 0 && room() < limits::kAccessLineBytes) {
      std::memmove(buffer_.get(), buffer_.get() + first_, size_);
      first_ = 0;
    }
  }
  if (room() >= limits::kAccessLineBytes) return buffer_.get() + first_ + size_;
  ++lost_;
  return nullptr;
}

// L1. A line is never longer than a pipe takes, so there is one to end with.
size_t LineFile::next_piece() const noexcept {
  if (kind_ == Kind::kFile || size_ <= PIPE_BUF) return size_;
  const char* const begin = buffer_.get() + first_;
  const void* const end = ::memrchr(begin, '\n', PIPE_BUF);
  return end == nullptr ? size_ : static_cast<size_t>(static_cast<const char*>(end) - begin) + 1;
}

bool LineFile::flush() noexcept {
  waits_ = false;
  while (size_ > 0) {
    const ssize_t result =
        write_once(fd_.get(), kind_ == Kind::kSocket, buffer_.get() + first_, next_piece());
    if (result <= 0) {
      error_ = errno;
      if (result < 0 && (error_ == EAGAIN || error_ == EWOULDBLOCK)) {
        waits_ = true;
        return false;
      }
      lose();
      return true;
    }
    const auto written = static_cast<size_t>(result);
    first_ += written;
    size_ -= written;
    torn_ = size_ > 0 && buffer_[first_ - 1] != '\n';
  }
  first_ = 0;
  return true;
}

// Of the line that was begun, what is not written yet.
size_t LineFile::torn_bytes() const noexcept {
  if (!torn_) return 0;
  const std::string_view all(buffer_.get() + first_, size_);
  return std::min(all.find('\n') + 1, size_);
}

// Everything but the rest of a line that was begun (L2).
void LineFile::lose() noexcept {
  const size_t kept = torn_bytes();
  const char* const begin = buffer_.get() + first_;
  lost_ += static_cast<uint64_t>(std::count(begin + kept, begin + size_, '\n'));
  size_ = kept;
  if (kept == 0) first_ = 0;
}

void LineFile::become(shm::Fd fd) noexcept {
  flush();
  if (const size_t rest = torn_bytes(); rest > 0) {
    first_ += rest;
    size_ -= rest;
    torn_ = false;
    ++lost_;
  }
  fd_ = std::move(fd);
  look_at_kind();
  waits_ = false;
}

}  // namespace sluice
