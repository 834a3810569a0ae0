// worker/incoming_body.h -- one request body on its way in: gathered for its message, or sent on as
// http.request.body chunks to the consumer that took the request (decisions.md 19).
//
// I1  At most limits::kUnreadBodyChunks chunks are unread; what comes meanwhile is gathered here, and the
//     connection stops reading when that is a chunk's worth.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "protocol/limits.h"
#include "shm/channel_layer.h"
#include "worker/form.h"

namespace sluice {

struct IncomingBody {
  enum class Way : uint8_t {
    kInline,  // gathered up to the inline limit, then it streams
    kForm,    // gathered whole
    kStream,  // the message is out: chunks follow it
  };
  enum class Pumped : uint8_t {
    kIdle,  // nothing to send: more is to come
    kWait,  // for the consumer to take something
    kDone,  // the last chunk is on its way, or nobody wants it any more
  };

  // Sends what there is, as far as the taker of `request` reads it.
  [[nodiscard]] Pumped pump(shm::ChannelLayer& layer, uint32_t channel, const ReplyAddress& about,
                            const shm::Sent& request) noexcept;
  void reset() noexcept;

  Way way = Way::kInline;
  FormKind form = FormKind::kNone;
  bool complete = false;           // the client sent all of it
  std::string content_type;        // of a form
  std::vector<std::byte> head;     // the message's keys before the body, until it is published
  uint32_t head_elements = 0;
  std::string bytes;               // gathered and not sent

 private:
  [[nodiscard]] bool has_credit(const shm::ChannelLayer& layer) noexcept;

  std::array<shm::Sent, limits::kUnreadBodyChunks> unread_{};
  uint32_t unread_count_ = 0;
};

}  // namespace sluice
