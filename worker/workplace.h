// worker/workplace.h -- what all connections of one worker share: settings, the channel layer, counters,
// clocks, free lists. Made once by worker.cc and passed by reference; it owns no connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "shm/channel_layer.h"
#include "shm/connection_slots.h"
#include "worker/access_log.h"
#include "worker/counters.h"
#include "worker/deadlines.h"
#include "worker/departures.h"
#include "worker/exchange.h"
#include "worker/groups.h"
#include "worker/http_session.h"
#include "worker/incoming_body.h"
#include "worker/ip_address.h"
#include "worker/refusal_log.h"
#include "worker/retries.h"
#include "worker/second_ring.h"
#include "worker/stuck_consumers.h"
#include "worker/websocket_session.h"
#include "worker/worker.h"

struct uv_loop_s;

namespace sluice {

// The channels a worker sends on, by index; opened once.
struct Channels {
  uint32_t http_request, http_request_body, http_disconnect;
  uint32_t websocket_connect, websocket_receive, websocket_disconnect;
  // Logical: only inboxes carry them.
  uint32_t websocket_list;
  uint32_t group_add, group_discard, group_list, group_send, group_flush;

  // Whether every queue behind them is one that honest processes can have left so.
  [[nodiscard]] bool sound(const shm::ChannelLayer& layer) const noexcept;
};

// Both ends of a connection, as META and ASGI name them: its socket's, or what a PROXY header says.
struct Endpoints {
  std::string client_host;  // "" for a unix socket
  std::string server_host;
  uint16_t client_port = 0;
  uint16_t server_port = 0;
  bool prefaced = false;  // it has to begin with a PROXY header
  bool trusted = false;   // the client is a proxy of ours: its headers say who asked (request_source.h)
  bool secure = false;    // the client came over TLS
};

struct Workplace {
  Workplace(const WorkerSettings& worker_settings, uv_loop_s& uv_loop, shm::ChannelLayer& channel_layer,
            shm::ConnectionSlots& connection_slots, const Channels& opened, uint64_t now);

  const WorkerSettings& settings;
  const std::string server_line;  // whole, or empty
  const uint32_t last_ordinal;    // of a connection: the request that has it is the last
  const HttpLimits http_limits;
  const WebSocketLimits websocket_limits;
  uv_loop_s& loop;
  shm::ChannelLayer& layer;
  shm::ConnectionSlots& slots;
  const Channels channels;

  Counters counters;
  RefusalLog refusals;
  Deadlines deadlines;
  Retries retries;
  Retries uploads;  // wait for a consumer to read, which rings: tried in each turn that is rung, too
  Departures departures;
  Groups groups;
  StuckConsumers stuck_consumers;
  SecondRing second_ring;
  FreeList<Exchange> exchanges;
  FreeList<IncomingBody> bodies;
  AccessLog* access_log = nullptr;  // the worker's; null: off

  // Asks the loop what time it is: whoever is called by it, before anything else.
  void tell_time() noexcept;
  // The process id of who sits in a row, as the segment says; 0 when it does not know.
  [[nodiscard]] uint32_t pid_of(shm::ProcessIndex row) const noexcept;
  // Drops what waits in a slot's reply ring, one ring full at most. False: perhaps more.
  bool drop_replies(uint32_t slot) noexcept;
  uint64_t now_ms;           // monotonic; of this turn of the loop
  int64_t unix_seconds = 0;  // the same, for Date
  bool draining = false;   // no keep-alive any more
  // The segment is given up: its consumers are told, and make up what they are not sent any more.
  bool given_up = false;
  uint16_t leaving_code = close_code::kGoingAway;  // of WebSockets, when draining
  uint64_t drain_until_ms = kNever;
  uint64_t refusal_logged_ms = 0;  // when a PROXY header was last said to be none
  std::string text;                // for one call: an answer's head
  IpText client_text;              // for one call: the address a proxy names
  std::vector<std::byte> scratch;  // for one call: a head while its size is unknown
};

}  // namespace sluice
