// tests/support/nameless_file.h -- a file for appending that nobody else can find, and what stands in it.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "shm/fd.h"

namespace sluice::tests {

struct NamelessFile {
  NamelessFile() {
    char name[] = "/tmp/sluice-test-XXXXXX";
    fd.reset(::mkostemp(name, O_APPEND | O_CLOEXEC));
    if (!fd) std::abort();
    ::unlink(name);
  }
  [[nodiscard]] shm::Fd another() const { return shm::Fd(::dup(fd.get())); }
  // At most its first MiB.
  [[nodiscard]] std::string text() const { return text_of(fd); }
  [[nodiscard]] static std::string text_of(const shm::Fd& file) {
    std::string all(1 << 20, '\0');
    const ssize_t got = ::pread(file.get(), all.data(), all.size(), 0);
    all.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return all;
  }
  shm::Fd fd;
};

}  // namespace sluice::tests
