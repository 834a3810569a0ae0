// worker/request_source.cc -- see request_source.h.
#include "worker/request_source.h"

#include "worker/forwarded.h"

namespace sluice {

RequestSource source_of(Workplace& place, const Endpoints& ends, const RequestHead& head) noexcept {
  RequestSource source{.root_path = place.settings.root_path,
                       .client_host = ends.client_host,
                       .client_port = ends.client_port,
                       .server_host = ends.server_host,
                       .server_port = ends.server_port,
                       .secure = ends.secure};
  if (!ends.trusted) return source;
  const Forwarded said = read_forwarded(head.headers, place.settings.trusted_proxies);
  if (said.client.address.known()) {
    place.client_text = IpText(said.client.address);
    source.client_host = place.client_text.view();
    source.client_port = said.client.port;
  }
  if (said.scheme != Forwarded::Scheme::kUnsaid) {
    source.secure = said.scheme == Forwarded::Scheme::kHttps;
  }
  if (!said.host.empty()) source.server_host = said.host;
  if (said.server_port != 0) source.server_port = said.server_port;
  return source;
}

HostPort asked_host(const Workplace& place, const Endpoints& ends, const RequestHead& head) noexcept {
  using Scheme = Forwarded::Scheme;
  HostPort asked = split_host(head.authority).value_or(HostPort{});
  Scheme scheme = ends.secure ? Scheme::kHttps : Scheme::kUnsaid;
  if (ends.trusted) {
    const Forwarded said = read_forwarded(head.headers, place.settings.trusted_proxies);
    if (said.scheme != Scheme::kUnsaid) scheme = said.scheme;
    if (!said.host.empty()) asked = {.host = said.host};
    // Without a scheme a port of 80 may be one that nobody said (forwarded.h).
    if (said.server_port != 0 && (said.server_port != 80 || said.scheme != Scheme::kUnsaid)) {
      asked.port = said.server_port;
      asked.port_said = true;
    }
  }
  if (!asked.port_said && scheme != Scheme::kUnsaid) {
    asked.port = scheme == Scheme::kHttps ? 443 : 80;
    asked.port_said = true;
  }
  return asked;
}

}  // namespace sluice
