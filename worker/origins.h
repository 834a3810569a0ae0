// worker/origins.h -- whose pages may open a WebSocket: --allowed-origins. Read once, asked for each
// handshake (RFC 6454, RFC 6455 section 10.2).
//
// V1  An origin is a scheme, a host and a port; where no port is said, the scheme's own. Schemes and
//     names have no case, a dot behind a name counts for nothing, IPv6 literals are compared as addresses.
// V2  `*.` stands for one label or more: https://*.example.org holds https://a.b.example.org, and not
//     https://example.org.
// V3  `same` is the host and port the client asked for, of http and https; a Host without a port stands for
//     the port of the origin's scheme where nobody told us whether there is TLS before us.
// V4  What is no origin is allowed by `any` alone. `null` (a sandbox, a file) is one only where it is listed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "worker/request_target.h"

namespace sluice {

class Origins {
 public:
  // Adds `any` (which stands alone), `same`, `null`, or an origin with or without `*.`. Throws
  // std::invalid_argument that begins "must be", and says which one is wrong.
  void add(std::string_view text);

  // Nothing was added, or `any`: whatever comes is allowed.
  [[nodiscard]] bool any() const noexcept { return !same_ && !null_ && patterns_.empty(); }
  // `origin` is the value of the only Origin line; `own` what the client asked for. No allocation.
  [[nodiscard]] bool allow(std::string_view origin, const HostPort& own) const noexcept;
  // In the order they were added; `any` where nothing was.
  [[nodiscard]] std::vector<std::string> texts() const;

 private:
  struct Pattern {
    std::string scheme, host;  // in lower case; the host without brackets, `*.` and last dot
    uint16_t port = 0;         // 0: a scheme that has none
    bool below = false;        // the names below the host, not the host
  };
  std::vector<Pattern> patterns_;
  bool any_ = false;  // said so
  bool same_ = false;
  bool null_ = false;
  std::vector<std::string> texts_;
};

}  // namespace sluice
