// gateway/shared_memory.cc -- see shared_memory.h.
#include "gateway/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "worker/process.h"
#include "protocol/result.h"
#include "worker/log.h"

namespace sluice {
namespace {

using shm::Fd;
using shm::ProcessName;

Fd copy_of(int fd) noexcept { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

}  // namespace

SharedMemory::SharedMemory(const shm::Geometry& geometry)
    : segment_(shm::Segment::create(geometry)) {
  arenas_.emplace(segment_, shm::kMasterRow, this);
  shm::ProcessTable table(segment_);
  const auto me = table.reserve(shm::Role::kMaster, 0);
  CHECK(me.has_value());  // a fresh segment
  Fd memfd = shm::make_memfd("sluice-arena-master", segment_.arena_bytes(me->index));
  arenas_->map_own(memfd.get());
  if (!shm::seal_against_writers(memfd.get()).ok()) {
    throw std::system_error(errno, std::generic_category(), "cannot seal shared memory");
  }
  std::byte* const base =
      arenas_->own(segment_.block_at(me->index, 0, 0)).data();  // the first block's place
  if (::madvise(base, segment_.arena_bytes(me->index), MADV_DONTFORK) != 0) {  // M3
    throw std::system_error(errno, std::generic_category(),
                            "cannot keep shared memory from children");
  }
  arenas_by_row_[me->index] = {me->incarnation, std::move(memfd)};
  bells_[me->index] = shm::make_doorbell(segment_.instance(), me->index);
  doorbell_.emplace(segment_, me->index, doorbell_of(me->index));
  layer_.emplace(segment_, *arenas_, *doorbell_, *me);
  recovery_.emplace(*layer_);
  table.set_live(*me, static_cast<uint32_t>(::getpid()), start_time_of(::getpid()).value_or(0));
  processes().keep_account();  // before anybody else attaches
}

std::optional<ProcessName> SharedMemory::reserve(shm::Role role, uint32_t number) noexcept {
  const auto name = processes().reserve(role, number);
  if (!name) return std::nullopt;
  try {
    Fd memfd = shm::make_memfd("sluice-arena", segment_.arena_bytes(name->index));
    if (!bells_.contains(name->index)) {
      bells_[name->index] = shm::make_doorbell(segment_.instance(), name->index);
    }
    arenas_by_row_[name->index] = {name->incarnation, std::move(memfd)};
    return name;
  } catch (const std::exception& error) {
    log_event(LogLevel::kError, "no_room_for_process", {{"why", error.what()}});
    processes().set_dead(*name);  // nobody ever sat there: nothing to recover
    processes().set_free(*name);
    return std::nullopt;
  }
}

uint32_t SharedMemory::free_worker_rows() noexcept {
  uint32_t free = 0;
  for (uint32_t row = shm::kMasterRow + 1; segment_.is_worker(row); ++row) {
    if (layer_->processes().state(static_cast<shm::ProcessIndex>(row)) == shm::ProcessState::kFree) ++free;
  }
  return free;
}

int SharedMemory::arena(ProcessName name) const noexcept {
  const auto found = arenas_by_row_.find(name.index);
  if (found == arenas_by_row_.end() || found->second.incarnation != name.incarnation) return -1;
  return found->second.memfd.get();
}

shm::DoorbellSockets SharedMemory::doorbell_of(shm::ProcessIndex row) const noexcept {
  const shm::DoorbellSockets& kept = bells_.at(row);
  return {copy_of(kept.bell.get()), copy_of(kept.ringer.get())};
}

std::vector<ProcessName> SharedMemory::arenas() const {
  std::vector<ProcessName> all;
  for (const auto& [row, arena] : arenas_by_row_) all.push_back({row, arena.incarnation});
  return all;
}

std::vector<ProcessName> SharedMemory::advance() {
  std::vector<ProcessName> freed = recovery_->advance();
  for (const ProcessName& name : freed) {
    arenas_->retire(name);
    arenas_by_row_.erase(name.index);
  }
  return freed;
}

Fd SharedMemory::fetch(shm::ProcessIndex process, uint32_t incarnation) noexcept {
  const int memfd = arena({process, incarnation});
  return memfd < 0 ? Fd{} : copy_of(memfd);
}

}  // namespace sluice
