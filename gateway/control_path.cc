// gateway/control_path.cc -- see control_path.h.
#include "gateway/control_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace sluice {

std::string default_control_path() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') return std::string(runtime) + "/sluice/control";
  if (::geteuid() == 0) return "/run/sluice/control";
  return "/tmp/sluice-" + std::to_string(::geteuid()) + "/control";
}

bool make_control_folder(const std::string& control_path) {
  const std::string folder = std::filesystem::path(control_path).parent_path();
  const bool made = ::mkdir(folder.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) {
    throw std::system_error(errno, std::generic_category(), "cannot make " + folder);
  }
  struct stat found {};
  if (::stat(folder.c_str(), &found) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot use " + folder);
  }
  if (!S_ISDIR(found.st_mode)) throw std::runtime_error(folder + " is not a folder");
  const bool others_write = (found.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  const bool strange = found.st_uid != ::geteuid() && found.st_uid != 0;
  if (strange || (others_write && (found.st_mode & S_ISVTX) == 0)) {
    throw std::runtime_error(folder + " could be changed by other users");
  }
  return made;
}

}  // namespace sluice
