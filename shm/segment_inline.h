// shm/segment_inline.h -- the accessors of segment.h that every message passes through several times, where
// the compiler sees them.
#pragma once

#include "shm/segment.h"

namespace sluice::shm {

inline ChannelRecord* Segment::channel(uint32_t index) const noexcept {
  return index < geometry_.channels ? at<ChannelRecord>(offsets_.channels) + index : nullptr;
}

inline ReadyBitmap* Segment::ready(ProcessIndex worker) const noexcept {
  return is_worker(worker) ? at<ReadyBitmap>(offsets_.ready) + (worker - 2) : nullptr;
}

inline ConnectionRecord* Segment::connection(ProcessIndex worker, uint32_t slot) const noexcept {
  if (!is_worker(worker) || slot >= geometry_.connections_per_worker) return nullptr;
  return at<ConnectionRecord>(offsets_.connections) +
         (uint64_t{worker} - 2) * geometry_.connections_per_worker + slot;
}

inline Envelope* Segment::envelope(BlockIndex block) const noexcept {
  return block < block_count_ ? at<Envelope>(offsets_.envelopes) + block : nullptr;
}

inline OwnerQueue Segment::channel_queue(uint32_t index) const noexcept {
  ChannelRecord* record = channel(index);
  CHECK(record != nullptr);
  const uint32_t size = geometry_.channel_cells;
  uint32_t capacity = record->capacity.load(std::memory_order_relaxed);  // a plain setting
  if (capacity == 0 || capacity > size) capacity = size;
  return {record->ends.head,
          record->ends.tail,
          at<Word>(offsets_.channel_cells) + uint64_t{index} * size,
          size,
          capacity,
          stamps()};
}

inline OwnerQueue Segment::inbox(uint32_t process) const noexcept {
  CHECK(process < geometry_.processes);
  const uint32_t size = geometry_.inbox_cells;
  QueueEnds& ends = at<QueueEnds>(offsets_.inbox_ends)[process];
  return {ends.head, ends.tail, at<Word>(offsets_.inbox_cells) + uint64_t{process} * size,
          size,      size,      stamps()};
}

inline OwnerQueue Segment::reply_ring(ProcessIndex worker, uint32_t slot) const noexcept {
  ConnectionRecord* record = connection(worker, slot);
  CHECK(record != nullptr);
  return {record->head, record->tail, record->cells.data(), kReplyCells, kReplyCells, stamps()};
}

inline OwnerQueue Segment::free_queue(uint32_t process, uint32_t size_class) const noexcept {
  CHECK(process < geometry_.processes && size_class < kClasses);
  const ArenaShape& shape = shape_of(process);
  Word* cells = at<Word>(offsets_.free_cells) +
                uint64_t{process} * free_cells_per_process_ +
                shape.free_cells[size_class];
  const uint32_t size = shape.free_cells[size_class + 1] - shape.free_cells[size_class];
  QueueEnds& ends = at<QueueEnds>(offsets_.free_ends)[process * kClasses + size_class];
  return {ends.head, ends.tail, cells, size, size, stamps()};
}

inline BlockIndex Segment::block_at(ProcessIndex arena, uint32_t size_class,
                             uint32_t number) const noexcept {
  return uint32_t{arena} << block_bits_ | (shape_of(arena).first[size_class] + number);
}

inline bool Segment::place_of(BlockIndex block, BlockPlace& place) const noexcept {
  if (block >= block_count_) return false;
  const uint32_t number = block & ((1u << block_bits_) - 1);
  place.arena = static_cast<ProcessIndex>(block >> block_bits_);
  const ArenaShape& shape = shape_of(place.arena);
  for (uint8_t c = 0; c < kClasses; ++c) {
    if (number >= shape.first[c + 1]) continue;
    place.size_class = c;
    place.number = number - shape.first[c];
    place.offset = shape.offset[c] + uint64_t{place.number} * kClassBytes[c];
    return true;
  }
  return false;  // a number between this arena's blocks and the next arena's
}

}  // namespace sluice::shm
