// gateway/listen_address.h -- one `--listen`: where the gateway accepts clients.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

struct ListenAddress {
  enum class Kind : uint8_t { kTcp, kUnix, kFd };
  Kind kind = Kind::kTcp;
  std::string host;   // kTcp: a name or an address, without brackets; kUnix: the absolute path
  uint16_t port = 0;  // kTcp; 0 lets the kernel choose
  int fd = -1;        // kFd: a listening socket we were started with
  friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};

// host:port, [v6]:port, unix:/path, fd:N. Throws std::invalid_argument with what is allowed.
[[nodiscard]] ListenAddress parse_listen_address(std::string_view text);
[[nodiscard]] std::string to_string(const ListenAddress& address);

}  // namespace sluice
