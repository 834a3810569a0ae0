// worker/departures.h -- what is owed to consumers when a client is gone already: the disconnects, sent
// when there is room for them, exactly once (decisions.md 22).
#pragma once

#include <memory>
#include <vector>

#include "shm/channel_layer.h"
#include "worker/retries.h"

namespace sluice {

class Departure {
 public:
  virtual ~Departure() = default;
  // True when nothing is owed any more.
  [[nodiscard]] virtual bool try_leave() noexcept = 0;
  // A message of this connection came back. False: it is not about this one.
  [[nodiscard]] virtual bool take_back(shm::Delivery& returned) noexcept = 0;
  virtual void on_deaths(uint64_t deaths) noexcept = 0;
};

class Departures final : public Retrying {
 public:
  explicit Departures(Retries& retries) noexcept : retries_(retries) {}

  // Tries at once; what cannot be sent yet is kept and tried again.
  void add(std::unique_ptr<Departure> departure) noexcept;
  [[nodiscard]] bool retry() noexcept override;
  [[nodiscard]] bool take_back(shm::Delivery& returned) noexcept;
  void on_deaths(uint64_t deaths) noexcept;
  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }

 private:
  Retries& retries_;
  std::vector<std::unique_ptr<Departure>> waiting_;
};

}  // namespace sluice
