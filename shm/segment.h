// shm/segment.h -- the control segment, mapped; and one arena of payloads, mapped.
//
// Every accessor takes an index from anywhere and answers null for one that is none: the check is
// made against the private copy of the geometry, never against what stands in shared memory now.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <span>
#include <string>

#include "protocol/result.h"
#include "shm/fd.h"
#include "shm/group_layout.h"
#include "shm/layout.h"
#include "shm/owner_queue.h"

namespace sluice::shm {

class Segment;

// How an owner queue finds stamps in the segment.
struct SegmentStamps {
  Envelope* envelopes;
  uint32_t count;
  [[nodiscard]] Word* stamp(BlockIndex block) const noexcept {
    return block < count ? &envelopes[block].stamp : nullptr;
  }
};
using OwnerQueue = BasicOwnerQueue<Word, SegmentStamps>;

// Where a block lies: its arena, its class, and the byte offset of its payload in the arena.
struct BlockPlace {
  ProcessIndex arena = kNobody;
  uint8_t size_class = 0;
  uint32_t number = 0;  // within its class
  uint64_t offset = 0;
  [[nodiscard]] uint32_t bytes() const noexcept { return kClassBytes[size_class]; }
};

class Segment {
 public:
  // Makes a sealed memfd (no shrink, no grow) of the geometry's size, zeroed, with a header.
  // Throws std::system_error. For the master, once.
  [[nodiscard]] static Segment create(const Geometry& geometry);
  // Maps and checks one that came over the control socket.
  [[nodiscard]] static Result<Segment> attach(Fd memfd) noexcept;
  // The same, mapped for reading only: whoever stores through an accessor faults. For observers.
  [[nodiscard]] static Result<Segment> observe(Fd memfd) noexcept;

  [[nodiscard]] const Geometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] const Offsets& offsets() const noexcept { return offsets_; }
  [[nodiscard]] uint64_t instance() const noexcept { return instance_; }
  [[nodiscard]] int memfd() const noexcept { return memfd_.get(); }
  [[nodiscard]] Header& header() const noexcept { return *at<Header>(0); }
  // What of the header is not as it was made, or that the segment is marked as beyond repair; null
  // when nothing is wrong. A few cache lines are compared.
  [[nodiscard]] const char* damage() const noexcept;
  // Unmaps it: in a forked child that is no part of it. Nothing may be asked of it afterwards.
  void forget() noexcept { region_ = {}; }

  [[nodiscard]] ProcessRecord* process(uint32_t index) const noexcept;
  [[nodiscard]] ChannelRecord* channel(uint32_t index) const noexcept;
  [[nodiscard]] RuleRecord* rules() const noexcept { return at<RuleRecord>(offsets_.rules); }
  [[nodiscard]] Word* directory() const noexcept { return at<Word>(offsets_.directory); }
  [[nodiscard]] uint32_t directory_size() const noexcept { return 2 * geometry_.channels; }
  [[nodiscard]] ReadyBitmap* ready(ProcessIndex worker) const noexcept;
  [[nodiscard]] ConnectionRecord* connection(ProcessIndex worker, uint32_t slot) const noexcept;
  [[nodiscard]] GroupRecord* group(uint32_t index) const noexcept;
  // When a channel's membership of a group ends; null when there is no such group or channel.
  [[nodiscard]] Word* group_member(uint32_t group, uint32_t channel) const noexcept;
  [[nodiscard]] Envelope* envelope(BlockIndex block) const noexcept;
  [[nodiscard]] SegmentStamps stamps() const noexcept {
    return {at<Envelope>(offsets_.envelopes), block_count_};
  }
  [[nodiscard]] bool is_worker(uint32_t process) const noexcept {
    return process >= 2 && process < 2 + geometry_.worker_processes;
  }

  // Queues. The index must be valid (CHECK): get it from an accessor above first.
  [[nodiscard]] OwnerQueue channel_queue(uint32_t channel) const noexcept;  // capacity read now
  [[nodiscard]] OwnerQueue inbox(uint32_t process) const noexcept;
  [[nodiscard]] QueueEnds& inbox_ends(uint32_t process) const noexcept;
  [[nodiscard]] OwnerQueue reply_ring(ProcessIndex worker, uint32_t slot) const noexcept;
  [[nodiscard]] OwnerQueue free_queue(uint32_t process, uint32_t size_class) const noexcept;

  // Blocks.
  // Whose arena a block index names, be there such a block or not.
  [[nodiscard]] ProcessIndex arena_of(BlockIndex block) const noexcept {
    return static_cast<ProcessIndex>(block >> block_bits_);
  }
  [[nodiscard]] uint32_t block_count() const noexcept { return block_count_; }
  [[nodiscard]] const ClassCounts& blocks_of(uint32_t process) const noexcept {
    return is_worker(process) ? geometry_.worker_blocks : geometry_.other_blocks;
  }
  [[nodiscard]] BlockIndex block_at(ProcessIndex arena, uint32_t size_class,
                                    uint32_t number) const noexcept;
  [[nodiscard]] bool place_of(BlockIndex block,
                              BlockPlace& place) const noexcept;  // false: none such
  [[nodiscard]] uint64_t arena_bytes(uint32_t process) const noexcept {
    return shape_of(process).offset[kClasses];
  }

  // Every block once, every queue sound, no link without a head: for tests and shm_dump. Fills
  // `problem` with one line at the first thing wrong. Call it only while nobody else is at work.
  [[nodiscard]] bool verify(std::string& problem) const;

 private:
  Segment() = default;
  [[nodiscard]] static Result<Segment> map(Fd memfd, bool writable) noexcept;
  template <class T>
  [[nodiscard]] T* at(uint64_t offset) const noexcept {
    return reinterpret_cast<T*>(static_cast<std::byte*>(region_.get_address()) + offset);
  }
  void remember(const Geometry& geometry) noexcept;

  // Where each class begins in an arena: block numbers, bytes, cells of its free queues.
  struct ArenaShape {
    ArenaShape() noexcept = default;
    explicit ArenaShape(const ClassCounts& counts) noexcept;
    std::array<uint32_t, kClasses + 1> first{};
    std::array<uint64_t, kClasses + 1> offset{};
    std::array<uint32_t, kClasses + 1> free_cells{};
  };
  [[nodiscard]] const ArenaShape& shape_of(uint32_t process) const noexcept {
    return is_worker(process) ? shape_of_worker_ : shape_of_other_;
  }

  Fd memfd_;
  mutable boost::interprocess::mapped_region region_;
  Geometry geometry_{};
  Offsets offsets_{};
  uint64_t instance_ = 0;
  uint32_t block_count_ = 0;
  uint32_t block_bits_ = 0;
  uint64_t free_cells_per_process_ = 0;
  ArenaShape shape_of_worker_;
  ArenaShape shape_of_other_;
};

// A memfd of `bytes`, sealed against shrinking and growing. Throws std::system_error.
[[nodiscard]] Fd make_memfd(const char* name, uint64_t bytes);
// The whole of a memfd, mapped shared. Throws interprocess_exception.
[[nodiscard]] boost::interprocess::mapped_region map_memfd(int memfd, bool writable);
// The same memfd, opened once more, for reading only: no mapping through it can ever write. Empty when
// /proc or a descriptor is missing.
[[nodiscard]] Fd open_read_only(int memfd) noexcept;
// Lets no mapping made from now on write: for an arena, once its process has mapped it.
[[nodiscard]] Result<void> seal_against_writers(int memfd) noexcept;
[[nodiscard]] bool is_sealed_against_writers(int memfd) noexcept;
// Size and seals of a memfd that came over a socket: exactly `bytes`, never to be cut short.
[[nodiscard]] bool sealed_memfd_of(int memfd, uint64_t bytes) noexcept;

}  // namespace sluice::shm

#include "shm/segment_inline.h"
