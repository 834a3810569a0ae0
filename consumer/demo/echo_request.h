// consumer/demo/echo_request.h -- /echo: tells a request back as JSON, when its body is complete.
#pragma once

#include <boost/uuid/detail/sha1.hpp>
#include <string>
#include <unordered_map>

#include "consumer/consumer.h"
#include "consumer/address_hash.h"

namespace sluice::demo {

class EchoRequest {
 public:
  explicit EchoRequest(Consumer& consumer) : consumer_(consumer) {}

  // Answers at once, or keeps the message until the rest of its body has come.
  void request(Message message);
  void body(const Message& chunk);
  void disconnected(const ReplyAddress& address) { streaming_.erase(address); }

 private:
  struct Body {
    boost::uuids::detail::sha1 digest;
    uint64_t bytes = 0;
    void add(Bytes piece);
    [[nodiscard]] std::string hex();
  };
  struct Streaming {
    Message message;
    Body body;
  };
  void answer(const Message& message, Body& body);

  Consumer& consumer_;
  std::unordered_map<ReplyAddress, Streaming, AddressHash> streaming_;
  std::string json_;  // kept for its memory
};

}  // namespace sluice::demo
