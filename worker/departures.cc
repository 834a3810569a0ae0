// worker/departures.cc -- a list tried over and over; see departures.h.
#include "worker/departures.h"

#include <algorithm>

namespace sluice {

void Departures::add(std::unique_ptr<Departure> departure) noexcept {
  if (departure->try_leave()) return;
  waiting_.push_back(std::move(departure));
  retries_.add(*this);
}

bool Departures::retry() noexcept {
  std::erase_if(waiting_, [](const auto& departure) { return departure->try_leave(); });
  return waiting_.empty();
}

bool Departures::take_back(shm::Delivery& returned) noexcept {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [&](const auto& departure) { return departure->take_back(returned); });
}

void Departures::on_deaths(uint64_t deaths) noexcept {
  for (const auto& departure : waiting_) departure->on_deaths(deaths);
}

}  // namespace sluice
