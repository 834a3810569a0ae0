// worker/leftovers.cc -- one message after the other; see leftovers.h.
#include "worker/leftovers.h"

#include <algorithm>
#include <limits>

#include "worker/workplace.h"

namespace sluice {
namespace {

constexpr uint64_t kNeverExpires = std::numeric_limits<uint64_t>::max();

}  // namespace

bool Leftovers::takes(const Workplace& place, const shm::Delivery& returned) noexcept {
  const uint32_t channel = returned.header().channel;
  return returned.returned() == shm::Returned::kUnread &&
         (channel == place.channels.websocket_receive || channel == place.channels.websocket_disconnect);
}

Leftovers::Leftovers(Workplace& place, const shm::Delivery& first) : place_(place), about_(first.about()) {
  keep(first);
}

void Leftovers::keep(const shm::Delivery& returned) {
  const Bytes content = returned.content();
  waiting_.push_back({returned.header().channel, {content.begin(), content.end()}});
}

bool Leftovers::try_leave() noexcept {
  shm::ChannelLayer& layer = place_.layer;
  for (;;) {
    if (out_) {
      shm::ProcessIndex taker = shm::kNobody;
      if (layer.progress(*out_, taker) != shm::Progress::kOver) return false;  // L1
      out_.reset();
    }
    if (waiting_.empty()) return true;
    const Message& next = waiting_.front();
    Result<shm::Claim> claim = layer.claim(next.bytes.size());
    if (!claim.ok()) return false;
    std::copy(next.bytes.begin(), next.bytes.end(), claim->space().begin());
    const Result<shm::Sent> sent = layer.send(next.channel, *claim, next.bytes.size(),
                                              {.about = about_, .expires_ms = kNeverExpires});
    if (!sent.ok()) return false;
    place_.counters.add(Counter::kResent);
    if (next.channel == place_.channels.websocket_disconnect) return true;  // nothing comes behind it
    out_ = *sent;
    waiting_.pop_front();
  }
}

bool Leftovers::take_back(shm::Delivery& returned) noexcept {
  if (returned.about() != about_) return false;
  if (takes(place_, returned)) {
    keep(returned);
  } else if (returned.header().channel == place_.channels.websocket_receive) {
    place_.counters.add(Counter::kReceivesLost);  // in the hands of a second one that died
  }
  return true;
}

}  // namespace sluice
