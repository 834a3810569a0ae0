// consumer/message.h -- a message received, decoded in place, and where an answer to it goes.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/channel_name.h"
#include "protocol/message.h"
#include "shm/channel_layer.h"

namespace sluice {

class Attachment;

// What the channel says the message is: the tables of messages.md.
enum class MessageKind : uint8_t {
  kOther,  // a channel of the users' own
  kHttpRequest,
  kHttpRequestBody,
  kHttpDisconnect,
  kWebSocketConnect,
  kWebSocketReceive,
  kWebSocketDisconnect,
};

// Owner     the application. It may outlive its consumer; then only its destruction is allowed.
// Lifetime  views into fields() die with it. An http.request's block is not freed by it, but when
// the
//           last message of the answer is published and the Message is gone too (decisions.md 2).
// Thread    the consumer's.
class Message {
 public:
  Message(Message&& other) noexcept;
  Message& operator=(Message&& other) noexcept;
  ~Message() { release(); }

  [[nodiscard]] MessageKind kind() const noexcept { return kind_; }
  // "http.request", "websocket.receive", "http.request.body?…", a name of the users' own.
  [[nodiscard]] std::string_view channel() const noexcept {
    return kind_ == MessageKind::kHttpRequestBody ? body_channel_.view() : channel_;
  }
  [[nodiscard]] const MessageView& fields() const noexcept { return fields_; }
  // The exchange or connection it is about: where a reply to it goes, the same for every message of
  // it. `worker` is 0 for what another consumer sent.
  [[nodiscard]] ReplyAddress address() const noexcept { return delivery_.about(); }
  // Whether what was read of it until now is this message's; false: somebody scribbles in the segment.
  [[nodiscard]] bool intact() const noexcept { return delivery_.intact(); }

 private:
  friend class Attachment;
  Message(Attachment& attachment, shm::Delivery delivery, MessageView fields, MessageKind kind,
          std::string_view channel) noexcept;
  void release() noexcept;

  Attachment* attachment_;  // null: moved from
  shm::Delivery delivery_;
  MessageView fields_;
  std::string_view channel_;  // lives as long as the attachment
  ReplyChannelName body_channel_;
  MessageKind kind_;
};

// Where a message is sent: a channel by its name, or whom a message was about.
class Destination {
 public:
  // Any name: "http.response.…" and "websocket.send.…" lead to that connection's reply ring, others
  // to the channel. The name is looked up in the call; it may die after it.
  Destination(std::string_view name) noexcept : name_(name) {}              // NOLINT(*-explicit-*)
  Destination(const char* name) noexcept : name_(name) {}                   // NOLINT(*-explicit-*)
  Destination(const std::string& name) noexcept : name_(name) {}            // NOLINT(*-explicit-*)
  Destination(const ReplyAddress& address) noexcept : address_(address) {}  // NOLINT(*-explicit-*)
  // kSegmentCorrupt when the message turns out to have been written over while it was read: the answer
  // could hold what another client said.
  Destination(const Message& message) noexcept                              // NOLINT(*-explicit-*)
      : address_(message.address()), answered_(&message) {}

  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] const ReplyAddress& address() const noexcept { return address_; }
  [[nodiscard]] bool answers_intact_message() const noexcept {
    return answered_ == nullptr || answered_->intact();
  }

 private:
  std::string_view name_;  // empty: the address counts
  ReplyAddress address_{};
  const Message* answered_ = nullptr;
};

// A WebSocket there is: where to send to it, and the path it was opened on.
struct LivingConnection {
  std::string reply_channel, path;
};

// Writes a map's keys and values in turn.
template <class Write>
concept WritesFields = std::invocable<const Write&, Encoder&>;

// What writes a message: called with an encoder over the claimed block itself, and called again
// from the start when the block turned out too small. Borrows the callable.
class MessageWriter {
 public:
  // Writes the map's keys and values in turn; the map itself is begun and ended around it.
  template <WritesFields Write>
  MessageWriter(const Write& write, size_t expected_bytes) noexcept
      : what_(&write),
        expected_bytes_(expected_bytes),
        call_([](const void* what, size_t, Encoder& encoder) noexcept {
          encoder.begin_map();
          (*static_cast<const Write*>(what))(encoder);
          encoder.end_map();
        }) {}
  explicit MessageWriter(std::span<const Pair> fields) noexcept;

  void operator()(Encoder& encoder) const noexcept { call_(what_, count_, encoder); }
  // A right guess makes one attempt enough; a wrong one is only slower.
  [[nodiscard]] size_t expected_bytes() const noexcept { return expected_bytes_; }

 private:
  const void* what_;
  size_t count_ = 0;
  size_t expected_bytes_;
  void (*call_)(const void* what, size_t count, Encoder& encoder) noexcept;
};

}  // namespace sluice
