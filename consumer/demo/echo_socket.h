// consumer/demo/echo_socket.h -- /ws: sends each WebSocket message back, in order.
//
// A client that sends faster than it reads makes its reply ring full. Its echoes then wait here,
// copied, so that it holds no block of the worker and no other connection waits for it.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>

#include "consumer/consumer.h"
#include "consumer/address_hash.h"

namespace sluice::demo {

class EchoSocket {
 public:
  explicit EchoSocket(Consumer& consumer) : consumer_(consumer) {}

  void receive(const Message& message);
  void disconnected(const ReplyAddress& address) { late_.erase(address); }
  // Echoes that wait for room are tried again; call every few milliseconds while any().
  void retry();
  [[nodiscard]] bool any() const noexcept { return !late_.empty(); }

 private:
  struct Late {
    std::string content;
    bool binary;
  };
  struct Line {
    std::deque<Late> echoes;
    size_t bytes = 0;
  };
  [[nodiscard]] Result<void> echo(const ReplyAddress& address, std::string_view content,
                                  bool binary);

  Consumer& consumer_;
  std::unordered_map<ReplyAddress, Line, AddressHash> late_;
};

}  // namespace sluice::demo
