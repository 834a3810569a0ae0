// shm/segment.cc -- create, attach, and find things in the control segment.
#include "shm/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <system_error>

#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice::shm {
namespace {

namespace ipc = boost::interprocess;

// What mapped_region asks of a thing it maps.
class MemfdMapping {
 public:
  MemfdMapping(int memfd, ipc::mode_t mode) noexcept : memfd_(memfd), mode_(mode) {}
  [[nodiscard]] ipc::mapping_handle_t get_mapping_handle() const noexcept {
    return {memfd_, false};
  }
  [[nodiscard]] ipc::mode_t get_mode() const noexcept { return mode_; }

 private:
  int memfd_;
  ipc::mode_t mode_;
};

constexpr uint32_t kEndian = 0x01020304;

}  // namespace

Fd make_memfd(const char* name, uint64_t bytes) {
  Fd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    throw std::system_error(errno, std::generic_category(), "shared memory");
  }
  return fd;
}

Result<void> seal_against_writers(int memfd) noexcept {
  if (fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) return Error::kRefused;
  return {};
}

bool is_sealed_against_writers(int memfd) noexcept {
  const int seals = fcntl(memfd, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_FUTURE_WRITE) != 0;
}

Fd open_read_only(int memfd) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", memfd);
  return Fd(::open(path.data(), O_RDONLY | O_CLOEXEC));
}

bool sealed_memfd_of(int memfd, uint64_t bytes) noexcept {
  struct stat status {};
  const int seals = fcntl(memfd, F_GET_SEALS);
  constexpr int kSize = F_SEAL_SHRINK | F_SEAL_GROW;
  return seals >= 0 && (seals & kSize) == kSize && fstat(memfd, &status) == 0 &&
         static_cast<uint64_t>(status.st_size) == bytes;
}

ipc::mapped_region map_memfd(int memfd, bool writable) {
  const ipc::mode_t mode = writable ? ipc::read_write : ipc::read_only;
  return {MemfdMapping(memfd, mode), mode};
}

Segment Segment::create(const Geometry& geometry) {
  if (!valid(geometry)) {
    throw std::system_error(EINVAL, std::generic_category(), "sizes of the shared memory");
  }
  Segment segment;
  segment.remember(geometry);
  segment.memfd_ = make_memfd("sluice-control", segment.offsets_.total);
  // Nobody who is given it may keep those who come later from writing.
  if (fcntl(segment.memfd_.get(), F_ADD_SEALS, F_SEAL_SEAL) != 0) {
    throw std::system_error(errno, std::generic_category(), "sealing shared memory");
  }
  try {
    segment.region_ = map_memfd(segment.memfd_.get(), true);
  } catch (const ipc::interprocess_exception& e) {
    throw std::system_error(e.get_native_error(), std::generic_category(), "mapping shared memory");
  }
  if (getrandom(&segment.instance_, sizeof segment.instance_, 0) != sizeof segment.instance_) {
    throw std::system_error(errno, std::generic_category(), "random numbers");
  }
  auto* header = new (segment.region_.get_address()) Header{};  // the rest is valid as zeros (L4)
  header->version = kLayoutVersion;
  header->endian = kEndian;
  header->total_bytes = segment.offsets_.total;
  header->instance = segment.instance_;
  header->boot_ms = now_ms();
  header->page_bytes = static_cast<uint32_t>(sysconf(_SC_PAGESIZE));
  header->class_count = kClasses;
  header->geometry = geometry;
  header->offsets = segment.offsets_;
  header->magic = kMagic;
  return segment;
}

Result<Segment> Segment::attach(Fd memfd) noexcept { return map(std::move(memfd), true); }

Result<Segment> Segment::observe(Fd memfd) noexcept { return map(std::move(memfd), false); }

Result<Segment> Segment::map(Fd memfd, bool writable) noexcept {
  struct stat status {};
  if (fstat(memfd.get(), &status) != 0 || status.st_size < static_cast<off_t>(sizeof(Header)) ||
      !sealed_memfd_of(memfd.get(), static_cast<uint64_t>(status.st_size))) {
    return Error::kLayoutMismatch;
  }
  Segment segment;
  try {
    segment.region_ = map_memfd(memfd.get(), writable);
  } catch (const std::exception&) {
    return Error::kRefused;
  }
  const auto* header = static_cast<const Header*>(segment.region_.get_address());
  if (header->magic != kMagic || header->version != kLayoutVersion || header->endian != kEndian ||
      header->class_count != kClasses) {
    return Error::kLayoutMismatch;
  }
  Geometry geometry{};  // read once: whoever else is attached may write it
  std::memcpy(&geometry, &header->geometry, sizeof geometry);
  if (!valid(geometry)) return Error::kLayoutMismatch;
  segment.remember(geometry);
  Offsets offsets{};
  std::memcpy(&offsets, &header->offsets, sizeof offsets);
  if (offsets != segment.offsets_ ||
      segment.offsets_.total != static_cast<uint64_t>(status.st_size)) {
    return Error::kLayoutMismatch;
  }
  segment.instance_ = header->instance;
  segment.memfd_ = std::move(memfd);
  return segment;
}

void Segment::remember(const Geometry& geometry) noexcept {
  geometry_ = geometry;
  offsets_ = offsets_of(geometry);
  block_bits_ = block_bits(geometry);
  free_cells_per_process_ = shm::free_cells_per_process(geometry);
  block_count_ = geometry.processes << block_bits_;
  shape_of_worker_ = ArenaShape(geometry.worker_blocks);
  shape_of_other_ = ArenaShape(geometry.other_blocks);
}

Segment::ArenaShape::ArenaShape(const ClassCounts& counts) noexcept {
  for (size_t c = 0; c < kClasses; ++c) {
    first[c + 1] = first[c] + counts[c];
    offset[c + 1] = offset[c] + uint64_t{counts[c]} * kClassBytes[c];
    free_cells[c + 1] = free_cells[c] + std::bit_ceil(counts[c]);
  }
}

const char* Segment::damage() const noexcept {
  const Header& now = header();
  if (now.magic != kMagic) return "magic";
  if (now.version != kLayoutVersion || now.endian != kEndian || now.class_count != kClasses) {
    return "version";
  }
  if (now.total_bytes != offsets_.total) return "total_bytes";
  if (now.instance != instance_) return "instance";
  if (now.geometry != geometry_) return "geometry";
  if (now.offsets != offsets_) return "offsets";
  if (now.corrupt.load(std::memory_order_relaxed) != 0) return "marked corrupt";  // acted on alone
  return nullptr;
}

ProcessRecord* Segment::process(uint32_t index) const noexcept {
  return index < geometry_.processes ? at<ProcessRecord>(offsets_.processes) + index : nullptr;
}

GroupRecord* Segment::group(uint32_t index) const noexcept {
  return index < geometry_.groups ? at<GroupRecord>(offsets_.groups) + index : nullptr;
}

Word* Segment::group_member(uint32_t group, uint32_t channel) const noexcept {
  if (group >= geometry_.groups || channel >= geometry_.channels) return nullptr;
  return at<Word>(offsets_.group_members) + uint64_t{group} * geometry_.channels + channel;
}

QueueEnds& Segment::inbox_ends(uint32_t process) const noexcept {
  CHECK(process < geometry_.processes);
  return at<QueueEnds>(offsets_.inbox_ends)[process];
}

}  // namespace sluice::shm
