// worker/proxy_preface.h -- what is spoken on a connection before HTTP where --proxy-protocol asks for
// it: the header of proxy_header.h, which says whose connection it is.
//
// X1  What the header says is all that counts from then on: META, client and server, and whether what
//     the request's head forwards is believed. A proxy that only relays bytes passes on what its client
//     made up: so X-Forwarded-For is believed from the client named, if that is a trusted proxy, never
//     because the one that relays is. Where it speaks for itself (LOCAL) its socket's ends stay.
// X2  Whoever must send a header and sends something else is cut at once, with a reset, counted, and
//     logged, but not more than one in a second. Nobody can tell it in a way it understands.
// X3  The whole header comes within --header-timeout of the accept; then HTTP's clocks begin.
#pragma once

#include <memory>
#include <string>

#include "worker/connection.h"

namespace sluice {

struct ProxyHeader;

// Owner     its Connection, until the header is whole; then HTTP takes over.
class ProxyPreface final : public Conversation {
 public:
  ProxyPreface(Connection& connection, const Endpoints& ends);

  [[nodiscard]] size_t on_bytes(Bytes bytes) noexcept override;
  void on_end() noexcept override;
  void on_room() noexcept override {}
  void on_gone() noexcept override {}
  void on_ready() noexcept override {}
  void on_reply(const shm::Delivery&) noexcept override {}
  void on_returned(shm::Delivery&) noexcept override {}
  void on_deaths(uint64_t) noexcept override {}
  void on_stuck() noexcept override {}
  void leave(uint64_t at_ms) noexcept override;
  void on_clock(uint64_t now_ms) noexcept override;
  [[nodiscard]] uint64_t next_deadline() const noexcept override {
    return until_ms_ < leave_at_ms_ ? until_ms_ : leave_at_ms_;
  }

 private:
  void learn(const ProxyHeader& header) noexcept;
  void refuse(std::string_view why) noexcept;

  Connection& connection_;
  Endpoints ends_;
  std::string gathered_;  // a header that did not come in one read
  uint64_t until_ms_;
  uint64_t leave_at_ms_ = kNever;  // the worker leaves: when no header came until then
};

// The first conversation of a connection just accepted: this or HTTP.
[[nodiscard]] std::unique_ptr<Conversation> begin_conversation(Connection& connection,
                                                               const Endpoints& ends);

}  // namespace sluice
