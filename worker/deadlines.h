// worker/deadlines.h -- a coarse wheel of deadlines: one timer of the loop serves every connection.
//
// T1  A deadline is never early, and late by at most kTickMs and what the loop is busy with. When many are
//     due at once, limits::kDeadlinesPerTurn are acted on in a run, and next_run_ms() is past already.
// T2  Moving a deadline to a later time is one store: the object is put in its right place when its
//     old one comes round. Beyond the wheel's span it goes round again.
// Knows no libuv and no clock: the loop says what time it is.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

namespace sluice {

inline constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

class Deadlines;

// Something with one deadline. It leaves the wheel when it ends.
class Timed {
 public:
  Timed() = default;
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  // The deadline passed; it is not set any more.
  virtual void on_deadline(uint64_t now_ms) noexcept = 0;

 protected:
  ~Timed() = default;

 private:
  friend class Deadlines;
  Timed* previous_ = nullptr;
  Timed* next_ = nullptr;
  uint64_t due_ms_ = kNever;
  uint64_t tick_ = kNever;  // the bucket it stands in, as a tick; kNever: in none
};

class Deadlines {
 public:
  static constexpr uint64_t kTickMs = 64;

  explicit Deadlines(uint64_t now_ms) noexcept : done_(now_ms / kTickMs) {}

  // kNever takes it out.
  void set(Timed& timed, uint64_t due_ms) noexcept;
  void clear(Timed& timed) noexcept;
  // Calls on_deadline() of what is due, as far as one turn goes (T1). What it calls may set and clear.
  void run(uint64_t now_ms) noexcept;
  // When run() has something to do next; kNever when nothing is set.
  [[nodiscard]] uint64_t next_run_ms() noexcept;

 private:
  static constexpr uint64_t kBuckets = 1024;  // 65 s: past most time-outs
  void link(Timed& timed, uint64_t tick) noexcept;
  void unlink(Timed& timed) noexcept;
  [[nodiscard]] uint64_t tick_for(uint64_t due_ms) const noexcept;

  std::array<Timed*, kBuckets> buckets_{};
  uint64_t done_;        // ticks up to this one have been run
  uint64_t count_ = 0;   // objects in the wheel
  uint64_t first_ = kNever;  // no bucket before this tick holds anything
  Timed* walking_ = nullptr;  // the next object run() will look at
};

}  // namespace sluice
