// worker/workplace.cc -- settings into the limits of sessions; see workplace.h.
#include "worker/workplace.h"

#include <uv.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "protocol/limits.h"

namespace sluice {

bool Channels::sound(const shm::ChannelLayer& layer) const noexcept {
  const auto all = {http_request,      http_request_body, http_disconnect,      websocket_connect,
                    websocket_receive, websocket_disconnect, websocket_list, group_add,
                    group_discard,     group_list,        group_send,           group_flush};
  return std::all_of(all.begin(), all.end(), [&](uint32_t each) { return layer.is_sound(each); });
}

Workplace::Workplace(const WorkerSettings& worker_settings, uv_loop_s& uv_loop,
                     shm::ChannelLayer& channel_layer, shm::ConnectionSlots& connection_slots,
                     const Channels& opened, uint64_t now)
    : settings(worker_settings),
      server_line(settings.server_header.empty() ? std::string()
                                                 : "Server: " + settings.server_header + "\r\n"),
      // Without a bound the ordinals are one: none is given twice.
      last_ordinal(settings.max_requests_per_connection == 0
                       ? std::numeric_limits<uint32_t>::max()
                       : settings.max_requests_per_connection),
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
      stuck_consumers(channel_layer, deadlines, settings.stuck_timeout),
      second_ring(channel_layer, deadlines),
      now_ms(now),
      unix_seconds(::time(nullptr)) {}

bool Workplace::drop_replies(uint32_t slot) noexcept {
  for (uint32_t i = 0; i < limits::kRepliesPerRound; ++i) {
    if (!layer.try_receive_reply(slot)) return true;
    counters.add(Counter::kLateAnswers);
  }
  return false;
}

uint32_t Workplace::pid_of(shm::ProcessIndex row) const noexcept {
  const shm::ProcessRecord* const record = row == shm::kNobody ? nullptr : layer.segment().process(row);
  return record == nullptr ? 0 : record->pid.load(std::memory_order_relaxed);  // to be shown, no more
}

void Workplace::tell_time() noexcept {
  // The loop's clock is CLOCK_MONOTONIC in milliseconds, as shm/clock.h's is, read once a turn.
  const uint64_t now = uv_now(&loop);
  if (now == now_ms) return;
  now_ms = now;
  unix_seconds = ::time(nullptr);
}

}  // namespace sluice
