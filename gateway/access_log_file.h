// gateway/access_log_file.h -- where the access log goes: opened by the master, for all workers.
//
// F1  Workers are given the descriptor, never the path: all write to the same file, whatever becomes of its
//     name, and none needs a right to open it.
// F2  Writing to it does not block: what is no file is opened for us alone, so that whoever else has that
//     terminal or pipe keeps it as it was. A socket cannot be opened again: worker/line_file.h asks it not to
//     wait, at each write.
#pragma once

#include <string>

#include "shm/fd.h"

namespace sluice {

class AccessLogFile {
 public:
  // "off", "-" for standard output, or a path. Throws std::runtime_error with one line that names it.
  explicit AccessLogFile(std::string where);

  // Opens the path again: the log was moved away. False: the old one is kept, and why is logged; or there
  // is nothing to open.
  [[nodiscard]] bool reopen() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }  // -1: off

 private:
  std::string where_;
  shm::Fd fd_;
};

}  // namespace sluice
