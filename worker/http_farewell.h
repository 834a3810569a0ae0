// worker/http_farewell.h -- the http.disconnect owed to the consumer that holds a request whose client
// is gone.
//
// Owner     Departures.   Lifetime  until it is sent, or its consumer is done, dead or detached.
// Holds the request's block in the pool: the disconnect repeats the keys that lie in it.
#pragma once

#include "worker/departures.h"
#include "worker/exchange.h"

namespace sluice {

struct Workplace;

class HttpFarewell final : public Departure {
 public:
  // Of a published exchange; takes its hold on the block over.
  HttpFarewell(Workplace& place, const ReplyAddress& about, const Exchange& exchange) noexcept;
  ~HttpFarewell() override;
  [[nodiscard]] bool try_leave() noexcept override;
  [[nodiscard]] bool take_back(shm::Delivery& returned) noexcept override;
  void on_deaths(uint64_t) noexcept override {}

 private:
  Workplace& place_;
  ReplyAddress about_;
  shm::Sent sent_;
  uint32_t head_bytes_;
  uint32_t head_elements_;
};

}  // namespace sluice
