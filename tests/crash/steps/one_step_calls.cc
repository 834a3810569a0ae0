// tests/crash/steps/one_step_calls.cc -- large copies, each as one system call, which is one step; and a
// clock that stands.
//
// The linker sends every memcpy, memmove and memset of the program here (--wrap), and its clock. A message
// longer than a block takes a million bytes with it; what is written is in hand and nobody else's to
// see, so all the instructions of such a copy are one to everybody. Whoever is not stepped copies as ever:
// the kernel's copy costs many times as much. And the clock as it is read without a system call begins
// again whenever a tick passes under its reader: stepped, it would never end.
#include "tests/crash/steps/one_step_calls.h"

#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
void* __real_memcpy(void* to, const void* from, size_t bytes);
void* __real_memmove(void* to, const void* from, size_t bytes);
void* __real_memset(void* to, int value, size_t bytes);
int __real_clock_gettime(clockid_t clock, timespec* time);
void* __wrap_memcpy(void* to, const void* from, size_t bytes);
void* __wrap_memmove(void* to, const void* from, size_t bytes);
void* __wrap_memset(void* to, int value, size_t bytes);
int __wrap_clock_gettime(clockid_t clock, timespec* time);
}

namespace {

constexpr size_t kBulk = 4096;  // from here on
constexpr size_t kPieces = 1024;  // of one call: the kernel's bound

alignas(64) constinit std::array<std::byte, 65536> zeros{};
constinit timespec stopped_at{};  // CLOCK_MONOTONIC; 0 while it goes
constinit std::atomic<bool> never{false};
constinit const std::atomic<bool>* stepped = &never;

bool is_bulk(size_t bytes) { return bytes >= kBulk && stepped->load(std::memory_order::relaxed); }

// True when the kernel copied all of it.
bool copied(void* to, const iovec* from, size_t pieces, size_t bytes) {
  const iovec into{to, bytes};
  return process_vm_readv(getpid(), &into, 1, from, pieces, 0) == static_cast<ssize_t>(bytes);
}

bool overlap(const void* a, const void* b, size_t bytes) {
  const auto x = reinterpret_cast<uintptr_t>(a);
  const auto y = reinterpret_cast<uintptr_t>(b);
  return x < y + bytes && y < x + bytes;
}

}  // namespace

void* __wrap_memcpy(void* to, const void* from, size_t bytes) {
  const iovec piece{const_cast<void*>(from), bytes};
  if (is_bulk(bytes) && copied(to, &piece, 1, bytes)) return to;
  return __real_memcpy(to, from, bytes);
}

void* __wrap_memmove(void* to, const void* from, size_t bytes) {
  const iovec piece{const_cast<void*>(from), bytes};
  if (is_bulk(bytes) && !overlap(to, from, bytes) && copied(to, &piece, 1, bytes)) return to;
  return __real_memmove(to, from, bytes);
}

void* __wrap_memset(void* to, int value, size_t bytes) {
  if (value != 0 || !is_bulk(bytes) || bytes > zeros.size() * kPieces) return __real_memset(to, value, bytes);
  std::array<iovec, kPieces> pieces;
  size_t count = 0;
  for (size_t left = bytes; left > 0; ++count) {
    const size_t length = std::min(left, zeros.size());
    pieces[count] = {zeros.data(), length};
    left -= length;
  }
  return copied(to, pieces.data(), count, bytes) ? to : __real_memset(to, value, bytes);
}

int __wrap_clock_gettime(clockid_t clock, timespec* time) {
  if (stopped_at.tv_sec == 0) return __real_clock_gettime(clock, time);
  *time = stopped_at;  // the layer asks for no other clock
  return 0;
}
// NOLINTEND(bugprone-reserved-identifier)

void sluice::tests::copy_in_one_step_while(const std::atomic<bool>& is_stepped) noexcept { stepped = &is_stepped; }

void sluice::tests::stop_clock() noexcept {
  static_cast<void>(__real_clock_gettime(CLOCK_MONOTONIC, &stopped_at));
}
