// worker/http_connection.h -- HTTP on a connection: session events to exchanges to the channel, and
// replies to the socket, in order. Receiving is in the .cc, answering in http_answers.cc.
//
// H1  An exchange is opened by a head, or by a refusal; it is closed by its answer's last byte. Answers
//     leave in the order of heads.
// H2  A message is published once, whole, and its block held until its exchange is closed.
// H3  The session is paused while a body waits for its taker, while limits::kPipelinedRequests
//     answers are due, and while limits::kOutputHardBytes wait for a client that does not read; what
//     it sends meanwhile stays in the socket.
#pragma once

#include <memory>
#include <string>

#include "worker/backpressure.h"
#include "worker/connection.h"
#include "worker/exchange.h"
#include "worker/http_session.h"
#include "worker/incoming_body.h"
#include "worker/recycled.h"

namespace sluice {

// Owner     its Connection, until that becomes a WebSocket or ends.
class HttpConnection final : public Conversation,
                             public Recycled<HttpConnection>,
                             private HttpSession::Events,
                             private Retrying {
 public:
  HttpConnection(Connection& connection, const Endpoints& ends);
  ~HttpConnection() override;

  [[nodiscard]] size_t on_bytes(Bytes bytes) noexcept override;
  void on_end() noexcept override;
  void on_room() noexcept override { resume_if_free(); }
  void on_gone() noexcept override;
  void on_ready() noexcept override {}
  void on_reply(const shm::Delivery& reply) noexcept override;
  void on_returned(shm::Delivery& returned) noexcept override;
  void on_stuck() noexcept override {}           // answers have a deadline of their own
  void on_deaths(uint64_t) noexcept override {}  // what a taker held comes back by itself
  void leave(uint64_t at_ms) noexcept override;
  void on_clock(uint64_t now_ms) noexcept override;
  [[nodiscard]] uint64_t next_deadline() const noexcept override;

 private:
  // HttpSession::Events
  void on_head(const RequestHead& head) noexcept override;
  void on_body(Bytes piece) noexcept override;
  void on_complete() noexcept override;
  void on_refused(const Refusal& refusal) noexcept override;
  // Retrying: a body or a 100 Continue that waits for a consumer
  [[nodiscard]] bool retry() noexcept override;

  // receiving
  [[nodiscard]] bool begin_websocket(const RequestHead& head, Exchange& exchange) noexcept;
  void begin_body(const RequestHead& head, Exchange& exchange) noexcept;
  void send_head(const RequestHead& head, Exchange& exchange) noexcept;
  void send_gathered(Exchange& exchange, bool more_comes) noexcept;
  void publish(Exchange& exchange, shm::Claim& claim, size_t length) noexcept;
  void pump_body() noexcept;
  void watch_taker() noexcept;
  [[nodiscard]] bool is_taken(const Exchange& exchange) const noexcept;
  void end_body() noexcept;
  void drop_body() noexcept;
  void try_continue() noexcept;
  void pause() noexcept;
  void resume_if_free() noexcept;

  // answering
  void take_answer(Exchange& exchange, const MessageView& message) noexcept;
  void answer(Exchange& exchange, const Verdict& verdict) noexcept;  // with words of our own
  void fail(Exchange& exchange, Trouble trouble) noexcept;           // the same, or cut
  void advance() noexcept;
  void close_front() noexcept;
  void check_deadline(Exchange& exchange, uint64_t now_ms) noexcept;
  void refuse(const Refusal& refusal) noexcept;  // the head or body being received
  [[nodiscard]] bool ends_with_answer() const noexcept;
  void bid_farewell(Exchange& exchange) noexcept;
  void release(Exchange& exchange) noexcept;
  void log(Exchange& exchange, bool client_left) noexcept;  // once: it is over

  Connection& connection_;
  Workplace& place_;
  const Endpoints ends_;
  HttpSession session_;
  Exchanges exchanges_;
  Exchange* receiving_ = nullptr;       // whose body comes in
  std::unique_ptr<IncomingBody> body_;  // its body; null between bodies
  size_t ahead_bytes_ = 0;              // of all answers that came before their turn
  uint64_t head_since_ms_ = 0;          // when the head being received began; 0: none is
  uint64_t heard_ms_;                   // when bytes last came in
  uint64_t idle_since_ms_;              // when the last answer was complete
  uint64_t leave_at_ms_ = kNever;       // the worker leaves: when nothing is asked until then
  bool fresh_ = true;                   // no request yet
  bool feeding_ = false;     // session callbacks are above us
  bool paused_ = false;
  bool discarding_ = false;  // the rest of a body whose request was answered before it was whole
  bool last_ = false;        // no request is taken any more: close after what is due
};

[[nodiscard]] std::unique_ptr<Conversation> begin_http(Connection& connection, const Endpoints& ends);

}  // namespace sluice
