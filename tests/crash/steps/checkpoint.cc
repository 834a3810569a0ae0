// tests/crash/steps/checkpoint.cc -- registers by ptrace, memory by process_vm_readv and writev.
#include "tests/crash/steps/checkpoint.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "shm/fd.h"

namespace sluice::tests {
namespace {

#ifdef __x86_64__
constexpr int kVectorRegisters = NT_X86_XSTATE;
#else
constexpr int kVectorRegisters = NT_PRFPREG;
#endif
constexpr size_t kMostRegisterBytes = 16384;
constexpr uint64_t kRedZone = 128;  // bytes below the stack's end that are in use on x86-64
constexpr uint64_t kPresent = uint64_t{1} << 63;  // in /proc/<pid>/pagemap

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::abort();
}

std::vector<std::byte> registers_of(pid_t pid, int set) {
  std::vector<std::byte> bytes(kMostRegisterBytes);
  iovec into{bytes.data(), bytes.size()};
  if (ptrace(PTRACE_GETREGSET, pid, set, &into) != 0) fail("reading registers");
  bytes.resize(into.iov_len);
  return bytes;
}

void set_registers(pid_t pid, int set, const std::vector<std::byte>& bytes) {
  iovec from{const_cast<std::byte*>(bytes.data()), bytes.size()};
  if (ptrace(PTRACE_SETREGSET, pid, set, &from) != 0) fail("writing registers");
}

std::string mappings_of(pid_t pid) {
  const shm::Fd file(open(("/proc/" + std::to_string(pid) + "/maps").c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(65536, '\0');
  size_t length = 0;
  for (ssize_t got = 0; (got = read(file.get(), text.data() + length, text.size() - length)) > 0;) {
    length += static_cast<size_t>(got);
  }
  if (length == 0 || length == text.size()) fail("reading mappings");
  text.resize(length);
  return text;
}

}  // namespace

Checkpoint::Checkpoint(pid_t pid, uint64_t stack)
    : pid_(pid), mappings_(mappings_of(pid)), general_(registers_of(pid, NT_PRSTATUS)),
      vector_(registers_of(pid, kVectorRegisters)) {
  const shm::Fd pages(open(("/proc/" + std::to_string(pid) + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::istringstream lines(mappings_);
  std::vector<uint64_t> present;
  for (std::string line; std::getline(lines, line);) {
    unsigned long long start = 0;
    unsigned long long end = 0;
    char rights[5] = {};
    if (std::sscanf(line.c_str(), "%llx-%llx %4s", &start, &end, rights) != 3) continue;
    if (std::string_view(rights) != "rw-p") continue;
    present.resize((end - start) / page);
    const auto wanted = static_cast<ssize_t>(present.size() * sizeof(uint64_t));
    const auto at = static_cast<off_t>(start / page * sizeof(uint64_t));
    if (pread(pages.get(), present.data(), static_cast<size_t>(wanted), at) != wanted) fail("reading the page map");
    const bool holds_stack = start <= stack && stack < end;
    for (size_t i = holds_stack ? (stack - kRedZone - start) / page : 0; i < present.size();) {
      size_t stop = i;
      while (stop < present.size() && (present[stop] & kPresent) != 0) ++stop;
      if (stop > i) {
        Piece piece{start + i * page, std::vector<std::byte>((stop - i) * page)};
        const iovec into{piece.bytes.data(), piece.bytes.size()};
        const iovec from{reinterpret_cast<void*>(piece.address), piece.bytes.size()};
        if (process_vm_readv(pid, &into, 1, &from, 1, 0) != static_cast<ssize_t>(piece.bytes.size())) {
          fail("reading a process's memory");
        }
        memory_.push_back(std::move(piece));
      }
      i = stop + 1;
    }
  }
}

void Checkpoint::put_back() const {
  if (mappings_of(pid_) != mappings_) fail("a process changed its mappings between its checkpoint and its end");
  for (const Piece& piece : memory_) {
    const iovec from{const_cast<std::byte*>(piece.bytes.data()), piece.bytes.size()};
    const iovec into{reinterpret_cast<void*>(piece.address), piece.bytes.size()};
    if (process_vm_writev(pid_, &from, 1, &into, 1, 0) != static_cast<ssize_t>(piece.bytes.size())) {
      fail("writing a process's memory");
    }
  }
  set_registers(pid_, kVectorRegisters, vector_);
  set_registers(pid_, NT_PRSTATUS, general_);
}

}  // namespace sluice::tests
