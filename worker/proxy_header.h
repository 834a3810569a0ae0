// worker/proxy_header.h -- what a proxy says of a connection before its first byte: the header of the
// PROXY protocol, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt). Bytes in, values out: no state.
//
// P1  What is read depends on the bytes alone, never on how they were cut, and nothing behind the header
//     is looked at. A header that cannot become one any more is refused at the byte that says so, at the
//     latest at its 107th (version 1) or 16th (version 2).
// P2  Version 1 is one line, to the letter: single spaces, addresses of the family named, ports without
//     leading zeros, CR LF within 107 bytes. Behind UNKNOWN anything may stand.
// P3  Version 2 is as long as it says, up to limits::kProxyHeaderBytes. Its vectors (TLVs) must fill it to
//     the byte; all are passed over but two: a checksum that is there must be right, and one of TLS says
//     that the client came over it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/codec.h"
#include "worker/ip_address.h"

namespace sluice {

struct ProxyHeader {
  enum class Progress : uint8_t { kMore, kWhole, kRefused };
  // For whom the proxy speaks.
  enum class Client : uint8_t {
    kItself,   // LOCAL: the connection's ends are who they are
    kUnnamed,  // UNKNOWN, UNSPEC, datagrams: somebody whose address it does not say
    kUnixSocket,
    kAddress,
  };

  Progress progress = Progress::kMore;
  std::string_view reason{};  // kRefused: for the log; never their bytes
  size_t size = 0;            // kWhole: bytes it took
  Client client_kind = Client::kItself;
  IpEndpoint client{}, server{};  // kAddress: whom it accepted, and where
  bool over_tls = false;          // from the client to the proxy
};

// `bytes` is all there is since the connection began, perhaps with more behind the header.
[[nodiscard]] ProxyHeader read_proxy_header(Bytes bytes) noexcept;

}  // namespace sluice
