// consumer/demo/demo.h -- the demo consumer: which path is answered how, and the loop around it.
//
// Owner     main. Borrows the consumer.    Thread  the consumer's.
#pragma once

#include "consumer/consumer.h"
#include "consumer/demo/chat.h"
#include "consumer/demo/echo_request.h"
#include "consumer/demo/echo_socket.h"
#include "consumer/demo/timers.h"

namespace sluice::demo {

class Demo {
 public:
  explicit Demo(Consumer& consumer)
      : consumer_(consumer), chat_(consumer), echo_request_(consumer), echo_socket_(consumer) {}

  // Until the gateway hangs up, or leave() was called and what was taken is answered: then true.
  [[nodiscard]] bool run();
  // After the hang-up: answers what was taken and needs nothing more to come, at most a few seconds.
  // In any one thread.
  void finish();
  // From a signal handler: take nothing new, finish what was taken, at most a few seconds.
  void leave() noexcept;

 private:
  void take(Message message);
  void request(Message message);
  void socket_connected(const Message& message);
  void received(const Message& message);
  void do_later(const Later& later);
  void run_due();
  [[nodiscard]] uint64_t wake_at_ns() const;
  void reply(const Message& message, int status, std::string_view content_type,
             std::string_view content);
  void refuse_method(const Message& message);

  Consumer& consumer_;
  Chat chat_;
  EchoRequest echo_request_;
  EchoSocket echo_socket_;
  Timers timers_;
  std::atomic<bool> asked_to_leave_ = false;
  uint64_t leave_by_ns_ = 0;
  uint32_t taken_since_change_ = 0;  // messages since who is in the chat changed
};

}  // namespace sluice::demo
