// consumer/consumer.h -- the face of this folder: attach to a gateway, receive, reply, send.
//
//   auto consumer = sluice::Consumer::attach("/run/sluice/control", {"http.request"});
//   while (auto message = consumer->receive()) {
//     auto sent = consumer->reply(*message, {{"status_code", 200}, {"content", "Hello"}});
//   }
//
// N1  Nothing here throws, aborts its host or raises SIGPIPE: every refusal is an Error.
// N2  One thread per Consumer. A process may hold several.
// N3  A ring is put off while more messages wait for us and they are handled quickly, so a burst
//     costs one system call. It is made up for in receive(), at the latest when the first one is
//     1 ms old, and in flush(): call that before long work that follows a reply.
// N4  A child made by fork() has no part in the attachment: every call there says kDetached, and the
//     mappings are not in it. Attach after the fork.
#pragma once

#include <chrono>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/message.h"
#include "shm/statistics.h"

namespace sluice {

// Pushes made, who got a copy, who had no room. What becomes of it at a WebSocket its worker counts.
using GroupSent = shm::GroupSent;
using ChannelLimits = shm::ChannelLimits;
using ChannelStatistics = shm::ChannelStatistics;

// What a consumer saw; since it attached.
struct ConsumerCounts {
  uint64_t received = 0;
  uint64_t sent = 0;
  uint64_t malformed = 0;  // messages dropped because they are none
  uint64_t rings = 0;      // system calls made to wake others
  uint64_t sleeps = 0;
  shm::Drops drops{};
};

class Consumer {
 public:
  // The gateway's control socket, and the channels to read. kDetached: nobody listens there.
  // kRefused: no rights, no room, or draining. kLayoutMismatch: another version.
  [[nodiscard]] static Result<Consumer> attach(std::string_view control_socket,
                                               std::span<const std::string_view> channels) noexcept;
  [[nodiscard]] static Result<Consumer> attach(std::string_view control_socket,
                                               std::initializer_list<std::string_view> channels) noexcept {
    return attach(control_socket, std::span(channels.begin(), channels.size()));
  }
  Consumer(Consumer&& other) noexcept;
  Consumer& operator=(Consumer&& other) noexcept;
  ~Consumer() { detach(); }  // messages may still be alive

  // Our number among the gateway's consumers, from 1.
  [[nodiscard]] uint32_t number() const noexcept;
  [[nodiscard]] bool attached() const noexcept;
  // Answers 502 to requests taken and not begun to be answered, then leaves. Connections we own go
  // to whoever takes their next message. Any number of times.
  void detach() noexcept;

  // -- reading
  // Reads one more channel. kChannelHasReader: a single-reader channel (a name with `?`) that another
  // living process reads. kChannelNameInvalid (a name with `!` too), kChannelTableFull.
  Result<void> read(std::string_view channel) noexcept;
  // Takes no more from any channel. What is ours alone still comes: body chunks of requests taken,
  // messages of connections owned. Read again with read().
  void stop_reading() noexcept;
  // The next message; sleeps until there is one. When the gateway is gone: what came before, then a
  // made-up websocket.disconnect, code 1006, for each connection we own, then kDetached for ever.
  // kTimedOut: interrupt() was called.
  [[nodiscard]] Result<Message> receive() noexcept;
  // As above, but kTimedOut after `timeout`.
  [[nodiscard]] Result<Message> receive(std::chrono::nanoseconds timeout) noexcept;
  // Never sleeps: kTimedOut when nothing is there.
  [[nodiscard]] Result<Message> try_receive() noexcept;
  // Makes a receive() that sleeps, or the next one that would, give kTimedOut. The one call allowed
  // in a signal handler of the consumer's thread.
  void interrupt() noexcept;

  // -- reading from an event loop: watch poll_fd() for reading; on readable, and once at the start:
  //     do {
  //       while (auto message = consumer.try_receive()) handle(*message);   // or some, then again
  //     } while (!consumer.arm());
  // A descriptor that is readable when somebody rang or the gateway hung up (then for good, and
  // try_receive() says kDetached). Ours to close; -1 when detached.
  [[nodiscard]] int poll_fd() const noexcept;
  // Says we are about to poll. False: something came in meanwhile, so do not poll. try_receive()
  // disarms. Rings what is pending.
  [[nodiscard]] bool arm() noexcept;

  // -- channels. A new name that nobody guesses: `prefix` and 26 letters and digits. A prefix that
  // ends in `?`: a single-reader channel, which we read from now on. One that ends in `!`: a channel
  // that is our inbox, read by nobody else ever; it ends when we detach or die, and whoever sends
  // on it then is told kReaderGone. kChannelNameInvalid (no such prefix, or too long),
  // kChannelTableFull.
  [[nodiscard]] Result<std::string> new_channel(std::string_view prefix) noexcept;
  // From now on those whose names `glob` matches (`*` stands for any characters) hold so many
  // messages, and drop what lies unread so long; 0 leaves the default. For channels there are and
  // channels made later, by anybody; comes before the gateway's options and whatever was set
  // earlier, alone. Ends with the segment, which may be replaced. kChannelNameInvalid,
  // kLimitOutOfRange (a capacity beyond the largest the gateway's options ask for, at least
  // limits::kChannelCapacity; an expiry not within limits::kExpiryLeast .. kExpiryMost),
  // kChannelTableFull (too many globs).
  Result<void> set_limits(std::string_view glob, ChannelLimits limits) noexcept;

  // What was counted of a channel, and waits there; of one nobody made, nothing. And of all channels
  // and inboxes together. Nothing is kept for it.
  [[nodiscard]] Result<ChannelStatistics> statistics(std::string_view channel) noexcept;
  [[nodiscard]] Result<ChannelStatistics> statistics() noexcept;
  // Drops, and counts as flushed, what waits in a channel. Gives how many. A request whose message
  // that was is answered 502, as if its consumer had died.
  Result<uint64_t> flush_channel(std::string_view channel) noexcept;
  // In all of them, and ends every membership of a group; kChannelFull: `wait` was not enough for it.
  Result<uint64_t> flush_all(std::chrono::nanoseconds wait = kWait) noexcept;
  static constexpr std::chrono::nanoseconds kWait = std::chrono::seconds(5);  // for room
  // -- sending. Full is an outcome: kChannelFull when a channel has no room or a client reads
  // slowly, kOutOfBlocks when too much of ours is unread. kConnectionGone: that exchange or
  // connection is over. kReaderGone: the maker of that `!` channel has left, or there is none.
  // kMessageTooLarge, kChannelNameInvalid, kChannelTableFull. try_send never waits; send waits for
  // room, at most `wait`.
  Result<void> try_send(const Destination& to, Fields fields) noexcept {
    return send_message(to, MessageWriter(std::span(fields.begin(), fields.size())), {});
  }
  Result<void> send(const Destination& to, Fields fields,
                    std::chrono::nanoseconds wait = kWait) noexcept {
    return send_message(to, MessageWriter(std::span(fields.begin(), fields.size())), wait);
  }
  // `write(Encoder&)` writes keys and values in turn, straight into the block.
  template <WritesFields Write>
  Result<void> try_send(const Destination& to, const Write& write, size_t expected_bytes = 0) noexcept {
    return send_message(to, MessageWriter(write, expected_bytes), {});
  }
  template <WritesFields Write>
  Result<void> send(const Destination& to, const Write& write, size_t expected_bytes = 0,
                    std::chrono::nanoseconds wait = kWait) noexcept {
    return send_message(to, MessageWriter(write, expected_bytes), wait);
  }
  // To whom the message was about. An answer to an http.request ends with the first message that
  // has no `more_content: true`.
  Result<void> reply(const Message& message, Fields fields) noexcept { return send(message, fields); }
  template <WritesFields Write>
  Result<void> reply(const Message& message, const Write& write, size_t expected_bytes = 0) noexcept {
    return send(message, write, expected_bytes);
  }

  // -- groups. Members are WebSockets, by their reply channel or by a message about them, and plain
  // channels. Adding twice is adding once; a membership ends when it is discarded, with its
  // connection, or after the gateway's --group-expiry. kChannelNameInvalid, kConnectionGone,
  // kChannelTableFull; kChannelFull, kOutOfBlocks where `wait` was not enough.
  Result<void> group_add(std::string_view group, const Destination& member,
                         std::chrono::nanoseconds wait = kWait) noexcept;
  // Says nothing where there was no such member.
  Result<void> group_discard(std::string_view group, const Destination& member,
                             std::chrono::nanoseconds wait = kWait) noexcept;
  // The names of all members, in no order: every worker is asked. kTimedOut: not all answered. What
  // else comes in meanwhile is kept for receive().
  [[nodiscard]] Result<std::vector<std::string>> group_members(
      std::string_view group, std::chrono::nanoseconds timeout = kWait) noexcept;
  // To every member, in the order of our sends. WebSockets understand `content` and `binary`. Never
  // waits for a member: one that is full is skipped; `wait` is for blocks of our own.
  Result<GroupSent> group_send(std::string_view group, Fields fields,
                               std::chrono::nanoseconds wait = kWait) noexcept {
    return send_to_group(group, MessageWriter(std::span(fields.begin(), fields.size())), wait);
  }
  template <WritesFields Write>
  Result<GroupSent> group_send(std::string_view group, const Write& write, size_t expected_bytes = 0,
                               std::chrono::nanoseconds wait = kWait) noexcept {
    return send_to_group(group, MessageWriter(write, expected_bytes), wait);
  }

  // The WebSockets there are, whoever owns them, in no order: for who missed what happened. Those whose connect
  // waits are among them, unless a consumer has yet to accept them. Every worker is asked, as above.
  [[nodiscard]] Result<std::vector<LivingConnection>> connections(std::chrono::nanoseconds timeout = kWait) noexcept;

  // Rings everybody who sleeps on what was sent (N3).
  void flush() noexcept;

  // Somebody living reads that channel.
  [[nodiscard]] bool has_reader(std::string_view channel) noexcept;
  // That connection, or exchange, is still there to be sent to.
  [[nodiscard]] bool is_open(const ReplyAddress& address) noexcept;
  // Requests taken whose answer has not ended.
  [[nodiscard]] size_t open_requests() const noexcept;
  [[nodiscard]] ConsumerCounts counts() const noexcept;

 private:
  explicit Consumer(Attachment* attachment) noexcept : attachment_(attachment) {}
  Result<void> send_message(const Destination& to, const MessageWriter& writer,
                            std::chrono::nanoseconds wait) noexcept;
  Result<GroupSent> send_to_group(std::string_view group, const MessageWriter& writer,
                                  std::chrono::nanoseconds wait) noexcept;

  Attachment* attachment_;  // null: detached. Messages keep it alive
};

}  // namespace sluice
