// worker/worker.h -- one protocol worker: a libuv loop, its client sockets, and all that crosses the fork.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "shm/doorbell.h"
#include "shm/process_table.h"
#include "shm/segment.h"
#include "worker/deflate_terms.h"
#include "worker/networks.h"
#include "worker/origins.h"

namespace sluice {

// A socket to accept from. The master owns the descriptors; a worker inherits all and polls `mine`.
struct InheritedListener {
  int fd = -1;
  bool mine = false;      // polled when the master says Attached; others when it says AcceptFrom
  bool unix_socket = false;
  std::string host;       // what META's SERVER_NAME and SERVER_PORT say when Host is absent
  uint16_t port = 0;
};

// What of the options a worker needs; plain values, copied before the fork.
struct WorkerSettings {
  std::chrono::milliseconds header_timeout, body_timeout, send_timeout, keepalive_timeout;
  std::chrono::milliseconds answer_timeout, hold_timeout, drain_timeout, receive_timeout;
  std::chrono::milliseconds stuck_timeout;
  std::chrono::milliseconds ping_interval, ping_timeout, group_expiry;
  size_t max_head_bytes, max_line_bytes, max_headers;
  uint64_t max_body_bytes;
  size_t max_message_bytes;
  uint32_t max_connections;   // per worker
  uint32_t max_connections_per_address = 0;  // of those; 0: as many as there may be
  uint32_t max_requests_per_connection = 0;  // 0: without end
  std::string server_header;  // the value of Server; "": none is sent
  std::string root_path;      // SCRIPT_NAME
  Networks trusted_proxies;   // whose X-Forwarded-For and the like are believed
  Networks proxy_protocol;    // who begins a connection with a PROXY header
  Origins allowed_origins;    // whose pages may open a WebSocket
  bool accept_by_consumer = false;
  DeflateMode deflate = DeflateMode::kOff;  // of WebSockets
  bool raw_forms = false;
  bool access_log_json = false;
};

struct Inheritance {
  const shm::Segment* segment = nullptr;
  shm::ProcessName me;
  uint32_t number = 0;               // worker 0, 1, ...
  int master_socket = -1;            // SOCK_SEQPACKET pair: arenas, orders; its hang-up is the master's death
  int own_arena = -1;                // memfd, mapped by the worker, then sealed
  int access_log = -1;               // where its lines go; -1: there is none. Owned by the worker
  shm::DoorbellSockets doorbell;
  std::vector<InheritedListener> listeners;
  WorkerSettings settings;
};

// Runs until told to stop; the worker's whole life. Gives the exit code (gateway/README.md).
[[nodiscard]] int run_worker(Inheritance inheritance);

}  // namespace sluice
