// consumer/attachment.h -- one process's part in a gateway: what it has mapped, took, and owes.
// Consumer is its face; this is what happens behind it.
//
// Owner     the Consumer and every Message of it, counted in `handles_`: the last one deletes it.
// Lifetime  leave() may come before messages are gone; from then on nothing shared is touched.
// Sleep     first light: in the futex, cheap to ring, at most limits::kBoundedSleep. When that
// passed
//           in silence, deep: in poll on bell and control socket, without end, no system call at
//           all. A woken one that leaves messages behind rings the next, unless it is quick and
//           rang one less than a light sleep ago: so who may have been passed over looks again by
//           itself.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "consumer/consumer.h"
#include "consumer/handshake.h"
#include "consumer/open_requests.h"
#include "consumer/owned_connections.h"
#include "consumer/pace.h"
#include "shm/attach.h"

namespace sluice {

class Attachment {
 public:
  // Handshake and mappings. Throws std::bad_alloc, std::system_error: Consumer::attach catches.
  explicit Attachment(Welcome welcome, const Pace::Rules& pace = {});

  [[nodiscard]] Result<void> join(std::span<const std::string_view> channels) noexcept;
  void leave() noexcept;
  // One handle less; the last deletes.
  void let_go() noexcept;

  [[nodiscard]] uint32_t number() const noexcept { return number_; }
  // In the process that attached, before leave().
  [[nodiscard]] bool usable() const noexcept { return !left_ && forks_ == forks_seen(); }

  // While usable().
  [[nodiscard]] shm::ChannelLayer& layer() noexcept { return layer_; }

  [[nodiscard]] Result<void> read(std::string_view channel) noexcept;
  [[nodiscard]] Result<std::string> new_channel(std::string_view prefix) noexcept;
  void stop_reading() noexcept { layer_.stop_reading(); }
  // Until `deadline_ns`, monotonic; 0 never sleeps.
  [[nodiscard]] Result<Message> receive(uint64_t deadline_ns) noexcept;
  void interrupt() noexcept;
  [[nodiscard]] int poll_fd() const noexcept { return epoll_.get(); }
  [[nodiscard]] bool arm() noexcept;

  [[nodiscard]] Result<void> send(const Destination& to, const MessageWriter& writer,
                                  std::chrono::nanoseconds wait) noexcept;

  // -- groups, in groups.cc
  enum class Membership : uint8_t { kAdd, kDiscard };
  [[nodiscard]] Result<void> change_group(std::string_view group, const Destination& member,
                                          Membership change,
                                          std::chrono::nanoseconds wait) noexcept;
  [[nodiscard]] Result<std::vector<std::string>> group_members(std::string_view group,
                                                               uint64_t deadline_ns);
  [[nodiscard]] Result<void> flush_groups(std::chrono::nanoseconds wait) noexcept;
  [[nodiscard]] Result<shm::GroupSent> send_to_group(std::string_view group,
                                                     const MessageWriter& writer,
                                                     std::chrono::nanoseconds wait) noexcept;

  // -- asking, in questions.cc
  [[nodiscard]] Result<std::vector<LivingConnection>> connections(uint64_t deadline_ns);

  void ring() noexcept;
  [[nodiscard]] bool has_reader(std::string_view channel) noexcept;
  [[nodiscard]] bool is_open(const ReplyAddress& address) const noexcept {
    return shm::find_connection(segment_, address).ok();
  }
  [[nodiscard]] size_t open_requests() const noexcept { return open_.size(); }
  [[nodiscard]] ConsumerCounts counts() const noexcept;

  void message_over(Message& message) noexcept;

 private:
  // A channel as we met it: looked up once.
  struct KnownChannel {
    uint32_t generation = 0;
    MessageKind kind = MessageKind::kOther;
    std::unique_ptr<const std::string> name;  // null: not met yet
  };
  struct Resolved {
    ReplyAddress address{};  // worker 0: `channel` counts
    shm::OpenChannel channel{};
    shm::ProcessName inbox{};  // not nobody: whose inbox the channel is
  };

  // The logical channels of what workers are told about groups, by index.
  struct GroupChannels {
    uint32_t add, discard, list, send, flush;
  };

  friend class RoomWait;  // it sleeps for us
  [[nodiscard]] static uint32_t forks_seen() noexcept;
  [[nodiscard]] const KnownChannel* known_channel(uint32_t channel, uint64_t generation) noexcept;
  [[nodiscard]] Result<Message> take() noexcept;
  [[nodiscard]] bool note(shm::Delivery& delivery, MessageKind kind) noexcept;
  void own_connection(const ReplyAddress& address) noexcept;
  [[nodiscard]] Result<Message> take_lost() noexcept;
  void say_gone() noexcept;
  [[nodiscard]] bool sleep(uint64_t deadline_ns) noexcept;
  void pass_on() noexcept;
  void disarm() noexcept;
  void look_at_control() noexcept;
  void forget_dead_requests() noexcept;

  [[nodiscard]] Result<Resolved> resolve(const Destination& to) noexcept;
  [[nodiscard]] Result<size_t> write(shm::Claim& claim, const MessageWriter& writer) noexcept;
  [[nodiscard]] Result<void> publish(const Resolved& to, shm::Claim& claim, size_t length) noexcept;
  // Who waits for room there; null where it is said otherwise, or there is no such queue.
  [[nodiscard]] shm::WaitingSenders* senders_to(const Resolved& to) noexcept;
  [[nodiscard]] shm::WaitingSenders* senders_to(shm::ProcessName inbox) noexcept;
  [[nodiscard]] Result<GroupChannels> group_channels() noexcept;
  [[nodiscard]] Result<void> change_channel(std::string_view group, std::string_view channel,
                                            Membership change) noexcept;
  [[nodiscard]] Result<void> tell_worker(shm::ProcessName worker, shm::Route route,
                                         const MessageWriter& writer) noexcept;
  // Asks every living worker on a logical channel of its inbox, with the keys `write` writes; `take` gets
  // each answer, of which a worker may send several.
  [[nodiscard]] Result<void> ask_workers(uint32_t channel, const std::function<void(Encoder&)>& write,
                                         const std::function<void(const MessageView&)>& take,
                                         uint64_t deadline_ns);
  void sleep_for_inbox(uint64_t deadline_ns) noexcept;
  void end_request(OpenRequest* request) noexcept;
  void ring_soon() noexcept;

  shm::Fd control_;
  uint32_t number_;
  uint32_t forks_;  // how many forks this process had seen when it attached
  shm::AttachedArenas source_;
  shm::Segment segment_;
  shm::Arenas arenas_;
  shm::Doorbell doorbell_;
  shm::ChannelLayer layer_;
  shm::Fd epoll_;  // bell and control socket as one descriptor
  OpenRequests open_;
  OwnedConnections owned_;
  std::vector<KnownChannel> channels_;  // by channel index
  // Of channels whose records are others' by now: messages may still show them.
  std::vector<std::unique_ptr<const std::string>> old_names_;
  std::vector<shm::OpenChannel> own_inboxes_;  // made by new_channel("…!")

  std::optional<GroupChannels> group_channels_;
  std::optional<uint32_t> list_channel_;  // websocket.list
  std::deque<shm::Delivery> kept_;        // came in while workers' answers were waited for
  int64_t questions_ = 0;

  size_t handles_ = 1;
  bool left_ = false;
  bool gateway_gone_ = false;
  bool over_ = false;  // and nothing of it is taken any more
  bool armed_ = false;
  bool watch_control_ = false;  // poll_fd() may have said that the gateway hung up
  std::atomic<bool> interrupted_ = false;
  static_assert(std::atomic<bool>::is_always_lock_free);  // a signal handler sets it

  Pace pace_;
  uint32_t silent_looks_ = 0;

  uint64_t received_ = 0;
  uint64_t sent_ = 0;
  uint64_t malformed_ = 0;
  uint64_t sleeps_ = 0;
};

}  // namespace sluice
