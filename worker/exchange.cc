// worker/exchange.cc -- a list of a handful; see exchange.h.
#include "worker/exchange.h"

#include "protocol/limits.h"
#include "protocol/result.h"

namespace sluice {

void Exchange::reset() noexcept {
  std::string buffer = std::move(ahead);
  *this = {};
  if (buffer.capacity() > limits::kOutputSoftBytes) return;  // a rare need is not kept for all
  buffer.clear();
  ahead = std::move(buffer);
}

Exchange& Exchanges::open() {
  Exchange* exchange = spare_.take().release();
  exchange->ordinal = ++last_ordinal_;
  if (back_ == nullptr) {
    front_ = exchange;
  } else {
    back_->next_ = exchange;
  }
  back_ = exchange;
  ++size_;
  return *exchange;
}

Exchange* Exchanges::find(uint32_t ordinal) const noexcept {
  for (Exchange* each = front_; each != nullptr; each = each->next_) {
    if (each->ordinal == ordinal) return each;
  }
  return nullptr;
}

void Exchanges::pop_front() noexcept {
  CHECK(front_ != nullptr);
  std::unique_ptr<Exchange> exchange(front_);
  front_ = exchange->next_;
  if (front_ == nullptr) back_ = nullptr;
  --size_;
  spare_.give_back(std::move(exchange));
}

void Exchanges::pop_back() noexcept {
  CHECK(back_ != nullptr);
  if (front_ == back_) return pop_front();
  Exchange* before = front_;
  while (before->next_ != back_) before = before->next_;
  std::unique_ptr<Exchange> exchange(back_);
  before->next_ = nullptr;
  back_ = before;
  --size_;
  spare_.give_back(std::move(exchange));
}

void Exchanges::clear() noexcept {
  while (front_ != nullptr) pop_front();
}

}  // namespace sluice
