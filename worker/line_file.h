// worker/line_file.h -- whole lines to a descriptor that others append to as well. Never waits.
//
// L1  Each write is of whole lines, so that those of several processes do not mix: to a file opened for
//     appending all of them in one, to anything else at most PIPE_BUF, which it takes whole or not at all.
// L2  Only a file that is full can take half a line; its other half goes first when there is room again.
// L3  What cannot be written now (a pipe that nobody reads) is kept in the buffer, what cannot be written
//     at all (no space, no reader) is lost; so is a line that finds the buffer full. Lost lines are counted.
// L4  Nothing allocates but the constructor. SIGPIPE and SIGXFSZ are to be ignored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "protocol/limits.h"
#include "shm/fd.h"
#include "worker/access_line.h"

namespace sluice {

// Owner     AccessLog.   Thread  one.
class LineFile {
 public:
  // `fd` does not block, unless it is a file or a socket.
  explicit LineFile(shm::Fd fd);

  // Where the next line goes; null: there is no room, and it is lost.
  [[nodiscard]] char* begin_line() noexcept;
  void end_line(size_t bytes) noexcept { size_ += bytes; }  // ends in its only newline
  // Writes what is there; false: some of it waits for room, and flush() is to be called again.
  bool flush() noexcept;
  // Writes what can be written now; the rest is lost.
  void finish() noexcept {
    if (!flush()) lose();
  }
  // What waits goes to the old one if it can, half a line there alone; then `fd` is written to.
  void become(shm::Fd fd) noexcept;

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool waits() const noexcept { return waits_; }  // as flush() found it
  [[nodiscard]] uint64_t lost() const noexcept { return lost_; }
  [[nodiscard]] int error() const noexcept { return error_; }  // errno of the last write that failed

 private:
  enum class Kind : uint8_t { kFile, kSocket, kOther };

  void look_at_kind() noexcept;
  [[nodiscard]] size_t next_piece() const noexcept;
  [[nodiscard]] size_t torn_bytes() const noexcept;
  void lose() noexcept;

  shm::Fd fd_;
  Kind kind_ = Kind::kFile;
  std::unique_ptr<char[]> buffer_;
  size_t first_ = 0;  // where what is not written yet begins
  size_t size_ = 0;   // of that
  bool torn_ = false;  // its first line is the rest of one
  bool waits_ = false;
  int error_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace sluice
