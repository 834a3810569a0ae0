// worker/stuck_consumers.h -- which consumers take nothing from their inbox (decisions.md 24).
//
// X1  Watched is whom this worker sent something, until its inbox is found empty: an idle worker
//     watches nobody.
// X2  Stuck is one whose inbox held something for --stuck-timeout while its head did not move. Its row
//     says so (ProcessRecord::stuck): senders and ringers of all processes leave it alone. Who sets
//     the word logs it, once; the consumer takes it back when it takes a message.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "shm/channel_layer.h"
#include "worker/deadlines.h"

namespace sluice {

class StuckConsumers final : public Timed {
 public:
  StuckConsumers(shm::ChannelLayer& layer, Deadlines& deadlines, std::chrono::milliseconds timeout);

  // Something was sent to its inbox, or could not be.
  void sent_to(shm::ProcessName consumer, uint64_t now_ms) noexcept;
  [[nodiscard]] bool is_stuck(shm::ProcessName consumer) const noexcept;
  // True once after somebody was found stuck.
  [[nodiscard]] bool news() noexcept { return std::exchange(news_, false); }

  void on_deadline(uint64_t now_ms) noexcept override;

 private:
  struct Watched {
    shm::ProcessName name;
    uint64_t head = 0;
    uint64_t since_ms = 0;  // the head was first seen there
    bool stuck = false;     // as we saw it last
  };
  [[nodiscard]] bool look(Watched& watched, uint64_t now_ms) noexcept;  // false: watch it no more

  shm::ChannelLayer& layer_;
  Deadlines& deadlines_;
  const uint64_t timeout_ms_;
  const uint64_t every_ms_;
  std::vector<Watched> watched_;
  bool news_ = false;
};

}  // namespace sluice
