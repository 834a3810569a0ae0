// worker/websocket_connection.h -- an upgraded connection: frames to receives, replies to frames, clocks.
//
// S1  Nothing is read from the socket before the connect is taken (messages.md, rule 5), and nothing
//     while a receive waits for room: TCP pushes back.
// S2  By default 101 goes out at once. Where consumers accept, it waits for their first word.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/backpressure.h"
#include "worker/connection.h"
#include "worker/upgrade.h"
#include "worker/websocket_feed.h"

namespace sluice {

// Owner     its Connection.
// Lifetime  session callbacks may end the connection; after that feed_ is null and nothing is sent.
class WebSocketConnection final : public Conversation,
                                  private WebSocketSession::Events,
                                  private Retrying {
 public:
  explicit WebSocketConnection(Connection& connection);
  ~WebSocketConnection() override;

  // Publishes the connect. On an error nothing happened; answer otherwise.
  [[nodiscard]] Result<void> announce(const RequestHead& head, const Handshake& handshake,
                                      const Endpoints& ends);
  // The request's record, for the line at our end, and whose it is; null: there is no log.
  void log_with(std::unique_ptr<AccessRecord> record, std::string_view client) noexcept;
  // Then, once the connection knows us: answers 101, where it is ours to answer.
  void answer(const Handshake& handshake) noexcept;

  [[nodiscard]] size_t on_bytes(Bytes bytes) noexcept override;
  void on_end() noexcept override;
  void on_room() noexcept override;
  void on_gone() noexcept override;
  void on_ready() noexcept override;
  void on_reply(const shm::Delivery& reply) noexcept override;
  [[nodiscard]] bool takes_frames() const noexcept override { return feed_ != nullptr; }
  [[nodiscard]] FrameOutcome take_frame(SharedFrame& frame) noexcept override;
  void on_returned(shm::Delivery& returned) noexcept override;
  void on_deaths(uint64_t deaths) noexcept override;
  void on_stuck() noexcept override;
  [[nodiscard]] bool lasts() const noexcept override {
    return feed_ != nullptr && undecided_ == nullptr && !session_.close_sent();
  }
  [[nodiscard]] std::string_view path() const noexcept override { return feed_->path(); }
  void leave(uint64_t at_ms) noexcept override;
  void on_clock(uint64_t now_ms) noexcept override;
  [[nodiscard]] uint64_t next_deadline() const noexcept override;

 private:
  // A handshake that waits for a consumer's word.
  struct Undecided {
    Handshake handshake;  // its views are not used
    std::vector<std::string> subprotocols;
    uint64_t until_ms;
  };

  // WebSocketSession::Events
  void on_message(Bytes content, bool binary) noexcept override;
  void on_output(Bytes bytes) noexcept override;
  void on_closed(uint16_t code, std::string_view reason) noexcept override;
  // Retrying
  [[nodiscard]] bool retry() noexcept override;

  void begin_reading_if_taken() noexcept;
  void hold_input() noexcept;
  void decide(const MessageView& word) noexcept;
  void send(const MessageView& message) noexcept;
  void refuse(const Verdict& verdict) noexcept;  // in place of 101
  void close(uint16_t code, std::string_view reason = {}) noexcept;
  void on_untaken(uint64_t now_ms) noexcept;
  void heard() noexcept;  // the client, just now
  // Then a silent client is pinged or, where it was, given up.
  [[nodiscard]] uint64_t silent_until_ms() const noexcept;
  void end_feed(uint16_t code, std::string_view reason) noexcept;
  // For the access log: what the handshake was answered, and, once, that it is over.
  void note_switched() noexcept;
  void note_answer(const AnswerState& answer) noexcept;
  void log(uint16_t code) noexcept;

  bool reading_ = false;  // S1: the connect was taken
  bool reader_seen_ = false;
  bool pinged_ = false;   // a ping is out, and nothing was heard since
  Connection& connection_;
  Workplace& place_;
  WebSocketSession session_;
  std::unique_ptr<WebSocketFeed> feed_;   // null: the connection is over
  std::unique_ptr<Undecided> undecided_;  // null: 101 is out
  std::unique_ptr<AccessRecord> record_;  // null: there is no log, or the line is written
  // When bytes last came in or, pinged_, when the ping went out; until reading_, when somebody has to
  // have taken the connect.
  uint64_t clock_ms_ = kNever;
  uint64_t over_at_ms_ = kNever;          // we leave or, once our close is out, the client's is due
};

}  // namespace sluice
