// worker/proxy_preface.cc -- see proxy_preface.h.
#include "worker/proxy_preface.h"

#include <algorithm>

#include "protocol/limits.h"
#include "worker/http_connection.h"
#include "worker/log.h"
#include "worker/proxy_header.h"

namespace sluice {

ProxyPreface::ProxyPreface(Connection& connection)
    : connection_(connection),
      until_ms_(connection.place().now_ms +
                static_cast<uint64_t>(connection.place().settings.header_timeout.count())) {}

std::unique_ptr<Conversation> begin_conversation(Connection& connection) {
  if (connection.endpoints().prefaced) return std::make_unique<ProxyPreface>(connection);
  return begin_http(connection);
}

size_t ProxyPreface::on_bytes(Bytes bytes) noexcept {
  const size_t before = gathered_.size();
  Bytes all = bytes;
  if (before > 0) {
    const size_t room = limits::kProxyHeaderBytes - before;  // one that is not whole is shorter
    gathered_.append(as_text(bytes.first(std::min(room, bytes.size()))));
    all = as_bytes(gathered_);
  }
  const ProxyHeader header = read_proxy_header(all);
  switch (header.progress) {
    case ProxyHeader::Progress::kMore:
      if (before == 0) gathered_.assign(as_text(bytes));
      return bytes.size();
    case ProxyHeader::Progress::kRefused:
      refuse(header.reason);
      return bytes.size();
    case ProxyHeader::Progress::kWhole:
      break;
  }
  learn(header);
  connection_.become(begin_http(connection_));
  return header.size - before;
}

// X1
void ProxyPreface::learn(const ProxyHeader& header) noexcept {
  Endpoints ends = connection_.endpoints();
  switch (header.client_kind) {
    case ProxyHeader::Client::kItself:
      return;
    case ProxyHeader::Client::kUnnamed:
      ends.trusted = false;
      break;
    case ProxyHeader::Client::kUnixSocket:  // of the proxy's machine, no more ours than an address
      ends.trusted = false;
      ends.client_host.clear();
      ends.client_port = 0;
      break;
    case ProxyHeader::Client::kAddress:
      ends.trusted = connection_.place().settings.trusted_proxies.contains(header.client.address);
      ends.client_host = IpText(header.client.address).view();
      ends.client_port = header.client.port;
      ends.server_host = IpText(header.server.address).view();
      ends.server_port = header.server.port;
      break;
  }
  ends.secure = header.over_tls;
  connection_.set_endpoints(std::move(ends));
}

// X2
void ProxyPreface::refuse(std::string_view why) noexcept {
  constexpr uint64_t kBetweenLinesMs = 1000;
  Workplace& place = connection_.place();
  place.counters.add(Counter::kRefusedProxyHeaders);
  if (place.now_ms >= place.refusal_logged_ms + kBetweenLinesMs) {
    place.refusal_logged_ms = place.now_ms;
    log_event(LogLevel::kWarning, "proxy_header_refused",
              {{"from", connection_.endpoints().client_host}, {"why", why}});
  }
  connection_.cut();
}

// A check that the port is open says nothing, and needs nothing said.
void ProxyPreface::on_end() noexcept {
  if (gathered_.empty()) return connection_.close();
  refuse("its end came first");
}

void ProxyPreface::leave(uint64_t) noexcept {
  leave_at_ms_ = connection_.place().now_ms +
                 static_cast<uint64_t>(std::chrono::milliseconds(limits::kLeavingPatience).count());
}

void ProxyPreface::on_clock(uint64_t now_ms) noexcept {
  if (now_ms >= leave_at_ms_) return connection_.finish();
  if (now_ms >= until_ms_) refuse("not whole in time");
}

}  // namespace sluice
