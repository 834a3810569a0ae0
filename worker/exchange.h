// worker/exchange.h -- the requests of one connection that are not answered yet, in order.
//
// E1  Ordinals grow by one, from 1 on each connection; an exchange is found by its ordinal as long as
//     it is open, so a late answer finds nothing.
// E2  Only the front's answer goes to the socket; what comes for a later one is kept in it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "shm/claim.h"
#include "worker/access_line.h"
#include "worker/deadlines.h"
#include "worker/http_writer.h"

namespace sluice {

struct Exchange {
  uint32_t ordinal = 0;
  AnswerTo to;
  AnswerState answer;
  std::string ahead;  // bytes of the answer that came before its turn

  // the message: where it is, while published
  bool published = false;
  shm::Sent sent;
  uint32_t head_bytes = 0;     // of the message, what a disconnect repeats: keys and values
  uint32_t head_elements = 0;  // keys and values in it
  bool reader_seen = false;    // when the hold was last looked at
  uint64_t hold_until_ms = kNever;
  uint64_t answer_until_ms = kNever;

  bool owes_continue = false;  // 100 Continue was asked for and not sent
  std::unique_ptr<AccessRecord> record;  // for its line in the access log; null: there is no log

  void reset() noexcept;

 private:
  friend class Exchanges;
  Exchange* next_ = nullptr;
};

// Objects used again: nothing is allocated per request in steady state. At most so many are kept.
template <class T, size_t kMost = 1024>
class FreeList {
 public:
  [[nodiscard]] std::unique_ptr<T> take() {
    if (spare_.empty()) return std::make_unique<T>();
    std::unique_ptr<T> object = std::move(spare_.back());
    spare_.pop_back();
    return object;
  }
  void give_back(std::unique_ptr<T> object) {
    if (object == nullptr || spare_.size() >= kMost) return;
    object->reset();
    spare_.push_back(std::move(object));
  }

 private:
  std::vector<std::unique_ptr<T>> spare_;
};

class Exchanges {
 public:
  explicit Exchanges(FreeList<Exchange>& spare) noexcept : spare_(spare) {}
  ~Exchanges() { clear(); }
  Exchanges(const Exchanges&) = delete;
  Exchanges& operator=(const Exchanges&) = delete;

  // The next in order; its ordinal is set.
  Exchange& open();
  [[nodiscard]] Exchange* front() const noexcept { return front_; }
  [[nodiscard]] Exchange* back() const noexcept { return back_; }
  [[nodiscard]] Exchange* find(uint32_t ordinal) const noexcept;
  [[nodiscard]] bool is_front(const Exchange& exchange) const noexcept { return &exchange == front_; }
  [[nodiscard]] bool empty() const noexcept { return front_ == nullptr; }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  // Ends the front, or the back: the only one that can leave before it was answered.
  void pop_front() noexcept;
  void pop_back() noexcept;
  void clear() noexcept;

  template <class Visit>
  void for_each(Visit visit) const {
    for (Exchange *next = nullptr, *each = front_; each != nullptr; each = next) {
      next = each->next_;
      visit(*each);
    }
  }

 private:
  FreeList<Exchange>& spare_;
  Exchange* front_ = nullptr;  // owned, each by the one before
  Exchange* back_ = nullptr;
  size_t size_ = 0;
  uint32_t last_ordinal_ = 0;
};

}  // namespace sluice
