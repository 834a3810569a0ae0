// shm/arenas.cc -- payload memory, mapped when first met.
#include "shm/arenas.h"

#include <system_error>

namespace sluice::shm {
namespace ipc = boost::interprocess;

Arenas::Arenas(const Segment& segment, ProcessIndex me, ArenaSource* source)
    : segment_(segment),
      rows_(segment.process(0)),
      me_(me),
      source_(source),
      mappings_(segment.geometry().processes) {}

void Arenas::map_own(int memfd) {
  if (!sealed_memfd_of(memfd, segment_.arena_bytes(me_))) {
    throw std::system_error(EINVAL, std::generic_category(), "our arena");
  }
  Mapping& own = mappings_[me_];
  try {
    own.region = std::make_unique<ipc::mapped_region>(map_memfd(memfd, true));
  } catch (const ipc::interprocess_exception& e) {
    throw std::system_error(e.get_native_error(), std::generic_category(), "mapping our arena");
  }
  own.incarnation = incarnation_of(*segment_.process(me_));
}

Result<void> Arenas::map(ProcessIndex process, uint32_t incarnation, Fd memfd) noexcept {
  if (process >= mappings_.size() || process == me_ ||
      !sealed_memfd_of(memfd.get(), segment_.arena_bytes(process))) {
    return Error::kSegmentCorrupt;
  }
  Mapping& mapping = mappings_[process];
  try {
    auto region = std::make_unique<ipc::mapped_region>(map_memfd(memfd.get(), false));
    if (mapping.region != nullptr) replaced_.push_back(std::move(mapping.region));
    mapping.region = std::move(region);
  } catch (const std::exception&) {
    return Error::kOutOfBlocks;
  }
  mapping.incarnation = incarnation;
  return {};
}

void Arenas::retire(ProcessName name) noexcept {
  if (name.index >= mappings_.size() || name.index == me_) return;
  Mapping& mapping = mappings_[name.index];
  if (mapping.incarnation == name.incarnation) mapping.region.reset();
}

const std::byte* Arenas::fetch(ProcessIndex process, uint32_t incarnation) noexcept {
  if (source_ == nullptr || process == me_) return nullptr;
  Fd memfd = source_->fetch(process, incarnation);
  if (!memfd || !map(process, incarnation, std::move(memfd)).ok()) return nullptr;
  return mappings_[process].start();
}

}  // namespace sluice::shm
