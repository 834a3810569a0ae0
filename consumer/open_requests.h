// consumer/open_requests.h -- the requests this process took and has not answered to the end.
//
// A request's block stays ours until the last message of its answer is published: its stamp is what
// the gateway goes by when we die (decisions.md 2). An entry says where that block is.
//
// O1  One entry per exchange, found by its reply address; no allocation but when the table grows.
// O2  While a Message of the exchange lives, its delivery owns the block; else the entry does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "protocol/channel_name.h"
#include "shm/layout.h"

namespace sluice {

struct OpenRequest {
  ReplyAddress address{};  // worker 0: an empty place of the table
  shm::BlockIndex block = shm::kNoBlock;
  uint64_t generation = 0;  // of the payload: what an answer echoes
  bool in_message = true;   // O2
  bool begun = false;       // part of an answer was published
};

// Open addressing, linear probing, a power of two of places, at most half full.
class OpenRequests {
 public:
  OpenRequests();  // throws std::bad_alloc

  // Null when there is one for that address already, or no memory.
  OpenRequest* insert(const OpenRequest& request) noexcept;
  [[nodiscard]] OpenRequest* find(const ReplyAddress& address) noexcept;
  void erase(OpenRequest* request) noexcept;  // moves others: pointers got before are void
  [[nodiscard]] size_t size() const noexcept { return size_; }

  // Calls `over(request)` for each, some perhaps twice, and erases those it answers true for.
  template <class Over>
  void erase_if(Over over) noexcept {
    for (size_t place = 0; place < places_.size(); ++place) {
      while (places_[place].address.worker != 0 && over(places_[place])) erase(&places_[place]);
    }
  }

 private:
  [[nodiscard]] size_t home(const ReplyAddress& address) const noexcept;
  [[nodiscard]] bool grow() noexcept;
  void put(const OpenRequest& request) noexcept;

  std::vector<OpenRequest> places_;
  size_t size_ = 0;
};

}  // namespace sluice
