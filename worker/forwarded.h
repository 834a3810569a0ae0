// worker/forwarded.h -- what proxies that we trust say of a request: X-Forwarded-For, -Proto, -Host and
// -Port, or Forwarded (RFC 7239). Bytes in, views out: no state, no allocation. The caller knows that
// who sent the request is such a proxy; without that nothing here may be believed.
//
// F1  Lists are read from their right end, over all lines of a name as one: what stands there the proxy
//     before us has added, and what it got from its client stands to the left of that. The client is the
//     first address that is no trusted proxy's, or the last one there is. What is no address (an
//     obfuscated name, `unknown`, an empty element, an address with a zone) ends the way: then the client
//     is the last address before it, or unsaid. Nothing to the left of it is looked at.
// F2  Each X-Forwarded- name but -For says what its last element says, the nearest proxy's own; what no
//     proxy can mean (another scheme, no host) says nothing.
// F3  An element of Forwarded says `proto` and `host` together with `for`. They are taken along the way of
//     F1, so the one that counts is that of the leftmost element looked at that has one.
// F4  With any X-Forwarded- line of these there, Forwarded is not read: nearly all proxies set those, and
//     pass on what a client made up in the other.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "worker/header_field.h"
#include "worker/ip_address.h"
#include "worker/networks.h"

namespace sluice {

struct Forwarded {
  enum class Scheme : uint8_t { kUnsaid, kHttp, kHttps };
  IpEndpoint client;  // unknown: unsaid
  Scheme scheme = Scheme::kUnsaid;
  std::string_view host;     // as the client named us, without port and brackets; empty: unsaid
  uint16_t server_port = 0;  // 0: unsaid; with a host the scheme's own where no other is said
};

// Views point into the headers.
[[nodiscard]] Forwarded read_forwarded(std::span<const HeaderField> headers,
                                       const Networks& trusted) noexcept;

}  // namespace sluice
