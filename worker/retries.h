// worker/retries.h -- what waits for another process to take something, tried again each millisecond
// that the loop turns and, while anything waits, every limits::kRetryInterval: nobody rings us when
// an inbox gets room. Only who reads a chunk of a body does: those that wait for that are in a list of
// their own (workplace.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace sluice {

class Retries;

class Retrying {
 public:
  Retrying() = default;
  Retrying(const Retrying&) = delete;
  Retrying& operator=(const Retrying&) = delete;
  // True when nothing is left to try. May add and remove others; must not delete itself.
  [[nodiscard]] virtual bool retry() noexcept = 0;

 protected:
  ~Retrying() = default;

 private:
  friend class Retries;
  static constexpr uint32_t kNowhere = std::numeric_limits<uint32_t>::max();
  uint32_t place_ = kNowhere;
};

class Retries {
 public:
  // Any number of times; the object leaves with remove() or by its own retry().
  void add(Retrying& retrying) {
    if (retrying.place_ != Retrying::kNowhere) return;
    retrying.place_ = static_cast<uint32_t>(waiting_.size());
    waiting_.push_back(&retrying);
  }
  void remove(Retrying& retrying) noexcept {
    const uint32_t place = retrying.place_;
    if (place == Retrying::kNowhere) return;
    waiting_[place] = waiting_.back();
    waiting_[place]->place_ = place;
    waiting_.pop_back();
    retrying.place_ = Retrying::kNowhere;
  }
  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  // Tries each once; from the back, so that a removal moves only what was tried already.
  void run() noexcept {
    for (size_t i = waiting_.size(); i-- > 0;) {
      if (i >= waiting_.size()) continue;
      Retrying& retrying = *waiting_[i];
      if (retrying.retry()) remove(retrying);
    }
  }

 private:
  std::vector<Retrying*> waiting_;
};

}  // namespace sluice
