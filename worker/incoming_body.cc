// worker/incoming_body.cc -- chunks to the taker's inbox, counted by what became of them.
#include "worker/incoming_body.h"

#include <algorithm>

#include "worker/backpressure.h"
#include "worker/request_message.h"

namespace sluice {

bool IncomingBody::has_credit(const shm::ChannelLayer& layer) noexcept {
  const auto end = unread_.begin() + unread_count_;
  const auto left = std::remove_if(unread_.begin(), end, [&](const shm::Sent& sent) {
    shm::ProcessIndex taker = shm::kNobody;
    return layer.progress(sent, taker) != shm::Progress::kUnread;
  });
  unread_count_ = static_cast<uint32_t>(left - unread_.begin());
  return unread_count_ < unread_.size();
}

IncomingBody::Pumped IncomingBody::pump(shm::ChannelLayer& layer, uint32_t channel,
                                        const ReplyAddress& about, const shm::Sent& request) noexcept {
  size_t sent_bytes = 0;
  Pumped outcome = Pumped::kIdle;
  while (sent_bytes < bytes.size() || complete) {
    shm::ProcessIndex taker = shm::kNobody;
    const shm::Progress progress = layer.progress(request, taker);
    if (progress == shm::Progress::kOver) {  // answered, or about to come back to us
      outcome = complete ? Pumped::kDone : Pumped::kIdle;
      sent_bytes = bytes.size();
      break;
    }
    const std::optional<shm::ProcessName> reader = layer.processes().living(taker);
    if (progress == shm::Progress::kUnread || !reader || !has_credit(layer)) {
      outcome = Pumped::kWait;
      break;
    }
    const size_t piece = std::min(bytes.size() - sent_bytes, limits::kBodyChunkBytes);
    const bool last = complete && sent_bytes + piece == bytes.size();
    Result<shm::Claim> claim = layer.claim(piece + kChunkKeysBytes);
    if (!claim.ok()) {
      outcome = Pumped::kWait;
      break;
    }
    const Result<Bytes> chunk =
        encode_body_chunk(claim->space(), as_bytes(bytes).subspan(sent_bytes, piece), !last);
    CHECK(chunk.ok());  // kChunkKeysBytes is enough
    const Result<shm::Sent> sent =
        layer.send_to(*reader, *claim, chunk->size(), {.channel = channel, .about = about});
    if (!sent.ok()) {
      outcome = Pumped::kWait;
      break;
    }
    unread_[unread_count_++] = *sent;
    sent_bytes += piece;
    if (last) {
      outcome = Pumped::kDone;
      break;
    }
  }
  bytes.erase(0, sent_bytes);
  return outcome;
}

void IncomingBody::reset() noexcept {
  way = Way::kInline;
  form = FormKind::kNone;
  complete = false;
  content_type.clear();
  head.clear();
  head_elements = 0;
  bytes.clear();
  if (bytes.capacity() > 2 * limits::kInlineBodyBytes) std::string().swap(bytes);
  unread_count_ = 0;
}

}  // namespace sluice
