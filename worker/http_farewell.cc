// worker/http_farewell.cc -- withdraw what nobody took, tell whoever did; see http_farewell.h.
#include "worker/http_farewell.h"

#include "worker/request_message.h"
#include "worker/workplace.h"

namespace sluice {

HttpFarewell::HttpFarewell(Workplace& place, const ReplyAddress& about, const Exchange& exchange) noexcept
    : place_(place),
      about_(about),
      sent_(exchange.sent),
      head_bytes_(exchange.head_bytes),
      head_elements_(exchange.head_elements) {}

HttpFarewell::~HttpFarewell() { place_.layer.pool().release_hold(sent_.block); }

bool HttpFarewell::try_leave() noexcept {
  shm::ChannelLayer& layer = place_.layer;
  shm::ProcessIndex taker = shm::kNobody;
  switch (layer.progress(sent_, taker)) {
    case shm::Progress::kUnread:
      if (layer.withdraw(sent_)) {
        place_.counters.add(Counter::kWithdrawn);
        return true;
      }
      return false;  // taken this very moment
    case shm::Progress::kTaken: break;
    case shm::Progress::kOver: return true;  // it is done with the request
  }
  const std::optional<shm::ProcessName> reader = layer.processes().living(taker);
  if (!reader) return true;
  const Bytes payload = layer.arenas().payload(sent_.block);
  const size_t head_at = sizeof(shm::PayloadHeader) + kMapHeaderBytes;
  if (payload.size() < head_at + head_bytes_) return true;
  Result<shm::Claim> claim = layer.claim(head_bytes_ + kDisconnectKeysBytes);
  if (!claim.ok()) return false;
  const Result<Bytes> message =
      encode_http_disconnect(claim->space(), payload.subspan(head_at, head_bytes_), head_elements_);
  CHECK(message.ok());  // kDisconnectKeysBytes is enough
  const Result<shm::Sent> sent =
      layer.send_to(*reader, *claim, message->size(),
                    {.channel = place_.channels.http_disconnect, .about = about_});
  place_.stuck_consumers.sent_to(*reader, place_.now_ms);
  if (!sent.ok()) return sent.error() == Error::kReaderGone || sent.error() == Error::kSegmentCorrupt;
  place_.counters.add(Counter::kHttpDisconnects);
  return true;
}

bool HttpFarewell::take_back(shm::Delivery& returned) noexcept {
  return returned.block() == sent_.block && returned.about() == about_;
}

}  // namespace sluice
