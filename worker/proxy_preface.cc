// worker/proxy_preface.cc -- see proxy_preface.h.
#include "worker/proxy_preface.h"

#include <algorithm>

#include "protocol/limits.h"
#include "worker/http_connection.h"
#include "worker/log.h"
#include "worker/proxy_header.h"

namespace sluice {

ProxyPreface::ProxyPreface(Connection& connection, const Endpoints& ends)
    : connection_(connection),
      ends_(ends),
      until_ms_(connection.place().now_ms +
                static_cast<uint64_t>(connection.place().settings.header_timeout.count())) {}

std::unique_ptr<Conversation> begin_conversation(Connection& connection, const Endpoints& ends) {
  if (ends.prefaced) return std::make_unique<ProxyPreface>(connection, ends);
  return begin_http(connection, ends);
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
  connection_.become(begin_http(connection_, ends_));
  return header.size - before;
}

// X1
void ProxyPreface::learn(const ProxyHeader& header) noexcept {
  switch (header.client_kind) {
    case ProxyHeader::Client::kItself:
      return;
    case ProxyHeader::Client::kUnnamed:
      ends_.trusted = false;
      break;
    case ProxyHeader::Client::kUnixSocket:  // of the proxy's machine, no more ours than an address
      ends_.trusted = false;
      ends_.client_host.clear();
      ends_.client_port = 0;
      break;
    case ProxyHeader::Client::kAddress:
      ends_.trusted = connection_.place().settings.trusted_proxies.contains(header.client.address);
      ends_.client_host = IpText(header.client.address).view();
      ends_.client_port = header.client.port;
      ends_.server_host = IpText(header.server.address).view();
      ends_.server_port = header.server.port;
      break;
  }
  ends_.secure = header.over_tls;
}

// X2
void ProxyPreface::refuse(std::string_view why) noexcept {
  constexpr uint64_t kBetweenLinesMs = 1000;
  Workplace& place = connection_.place();
  place.counters.add(Counter::kRefusedProxyHeaders);
  if (place.now_ms >= place.refusal_logged_ms + kBetweenLinesMs) {
    place.refusal_logged_ms = place.now_ms;
    log_event(LogLevel::kWarning, "proxy_header_refused",
              {{"from", ends_.client_host}, {"why", why}});
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
