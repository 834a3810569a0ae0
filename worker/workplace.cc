// worker/workplace.cc -- settings into the limits of sessions; see workplace.h.
#include "worker/workplace.h"

#include "protocol/limits.h"

namespace sluice {

Workplace::Workplace(const WorkerSettings& worker_settings, uv_loop_s& uv_loop,
                     shm::ChannelLayer& channel_layer, shm::ConnectionSlots& connection_slots,
                     const Channels& opened, uint64_t now)
    : settings(worker_settings),
      http_limits{.head_bytes = settings.max_head_bytes,
                  .line_bytes = settings.max_line_bytes,
                  .header_count = settings.max_headers,
                  .body_bytes = settings.max_body_bytes},
      websocket_limits{.message_bytes = settings.max_message_bytes,
                       .fragments = limits::kWebSocketFragments,
                       .control_backlog = limits::kOutputSoftBytes},
      loop(uv_loop),
      layer(channel_layer),
      slots(connection_slots),
      channels(opened),
      deadlines(now),
      departures(retries),
      now_ms(now) {}

}  // namespace sluice
