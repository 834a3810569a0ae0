// consumer/attachment.cc -- joining, taking messages, answering, leaving. Sleeping is in sleep.cc.
#include "consumer/attachment.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "consumer/room_wait.h"
#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice {
namespace {

constexpr size_t kLargestBytes = limits::kMessageBytes + limits::kEncodingSlackBytes;
constexpr uint32_t kReopenings = 64;  // of a channel that is given back whenever we look

std::atomic<uint32_t> forks{0};  // in this process and the ones it was forked from

void count_forks() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    forks.fetch_add(1, std::memory_order::relaxed);  // one thread lives in the child
  });
  if (registered != 0)
    throw std::system_error(registered, std::generic_category(), "pthread_atfork");
}

// The mapping is not in a child: one that writes there by mistake ends there, not in our messages.
void keep_from_children(void* start, uint64_t bytes) {
  if (madvise(start, bytes, MADV_DONTFORK) != 0) {
    throw std::system_error(errno, std::generic_category(), "MADV_DONTFORK");
  }
}

shm::Fd watch(std::initializer_list<int> fds) {
  shm::Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  for (const int fd : fds) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (!epoll || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      throw std::system_error(errno, std::generic_category(), "epoll");
    }
  }
  return epoll;
}

}  // namespace

// ---- joining and leaving ------------------------------------------------------------------------

Attachment::Attachment(Welcome welcome, const Pace::Rules& pace)
    : control_(std::move(welcome.control)),
      number_(welcome.number),
      forks_(forks.load(std::memory_order::relaxed)),
      source_(control_.get()),
      segment_(std::move(welcome.segment)),
      arenas_(segment_, welcome.me.index, &source_),
      doorbell_(segment_, welcome.me.index, std::move(welcome.doorbell)),
      layer_(segment_, arenas_, doorbell_, welcome.me),
      epoll_(watch({doorbell_.poll_fd(), control_.get()})),
      channels_(segment_.geometry().channels),
      pace_(pace) {
  count_forks();
  arenas_.map_own(welcome.arena.get());
  keep_from_children(&segment_.header(), segment_.offsets().total);
  keep_from_children(arenas_.own(segment_.block_at(welcome.me.index, 0, 0)).data(),
                     segment_.arena_bytes(welcome.me.index));
}

uint32_t Attachment::forks_seen() noexcept { return forks.load(std::memory_order::relaxed); }

Result<void> Attachment::join(std::span<const std::string_view> channels) noexcept {
  if (auto attached = finish_handshake(control_.get()); !attached.ok()) return attached;
  for (const std::string_view channel : channels) {
    if (auto reading = read(channel); !reading.ok()) return reading;
  }
  return {};
}

void Attachment::leave() noexcept {
  if (usable()) {
    look_at_control();
    layer_.stop_reading();
    for (const shm::OpenChannel& inbox : own_inboxes_) {
      layer_.channels().end_inbox_channel(inbox, layer_.me());
    }
    open_.erase_if([this](OpenRequest& request) {
      // What was begun the gateway cuts off, when it sees who held the request.
      if (request.begun) return false;
      shm::Claim claim;
      const auto sorry = [](Encoder& encoder) {
        encoder.key("status_code").integer(502).key("content").text("502 Bad Gateway\n");
      };
      const auto length = write(claim, MessageWriter(sorry, 0));
      if (!length.ok()) return false;
      const shm::Route route{.about = request.address,
                             .answered_block = request.block,
                             .answered_generation = request.generation};
      if (!layer_.reply(claim, *length, route).ok()) return false;
      if (!request.in_message) layer_.free_block(request.block);
      return true;
    });
    kept_.clear();
    ring();
  }
  for (shm::Delivery& kept : kept_) static_cast<void>(kept.keep());  // not ours to free in a child
  kept_.clear();
  left_ = true;
  control_.reset();
}

void Attachment::let_go() noexcept {
  if (--handles_ != 0) return;
  if (forks_ == forks_seen()) say_gone();
  delete this;
}

// Nothing shared is touched any more. A master sees that by itself; where it is dead, whoever took
// its place is told (worker/succession.h).
void Attachment::say_gone() noexcept {
  shm::ProcessRecord& record = *segment_.process(layer_.me().index);
  record.pid.store(0, std::memory_order::release);  // [G] pairs with the worker that looks
  if (!gateway_gone_) return;
  for (uint32_t row = 2; row < 2 + segment_.geometry().worker_processes; ++row) {
    const auto worker = static_cast<shm::ProcessIndex>(row);
    if (layer_.processes().living(worker)) doorbell_.ring(worker);
  }
}

// ---- taking -------------------------------------------------------------------------------------

Result<Message> Attachment::take() noexcept {
  for (;;) {
    std::optional<shm::Delivery> delivery;
    if (kept_.empty()) {
      delivery = layer_.try_receive();
    } else {
      delivery = std::move(kept_.front());
      kept_.pop_front();
    }
    if (!delivery) return Error::kTimedOut;
    if (delivery->returned() != shm::Returned::kNo) continue;  // ours, and its reader died
    const shm::PayloadHeader& header = delivery->header();
    // A worker's answer that was not waited for to the end.
    if (group_channels_ && header.channel == group_channels_->list) continue;
    if (header.channel == list_channel_) continue;
    const KnownChannel* channel = known_channel(header.channel, header.answered_generation);
    const auto fields = MessageView::parse(delivery->content());
    if (channel == nullptr || !fields.ok() || !note(*delivery, channel->kind)) {
      ++malformed_;
      continue;
    }
    ++received_;
    if (pace_.first_since_sleep(received_)) pass_on();
    ++handles_;
    return Message(*this, std::move(*delivery), *fields, channel->kind, *channel->name);
  }
}

// Writes down what the message makes us owe. False: it cannot be one.
bool Attachment::note(shm::Delivery& delivery, MessageKind kind) noexcept {
  const ReplyAddress address = delivery.about();
  switch (kind) {
    case MessageKind::kHttpRequest:
      return open_.insert({.address = address,
                           .block = delivery.block(),
                           .generation = delivery.header().generation}) != nullptr;
    case MessageKind::kHttpDisconnect:
      if (OpenRequest* request = open_.find(address)) end_request(request);
      return true;
    case MessageKind::kWebSocketConnect:
    case MessageKind::kWebSocketReceive:
      own_connection(address);
      return true;
    case MessageKind::kWebSocketDisconnect:
      owned_.erase(address);
      return true;
    default:
      return true;
  }
}

// Whoever takes a connection's message while nobody owns it, owns it; its worker is told, because
// it sends no further receive before that (decisions.md 4).
void Attachment::own_connection(const ReplyAddress& address) noexcept {
  const auto record = shm::find_connection(segment_, address);
  if (!record.ok()) return;
  const shm::ProcessName me = layer_.me();
  const uint64_t mine = uint64_t{me.incarnation} << 32 | me.index;
  if ((*record)->owner.load(std::memory_order::acquire) == mine)
    return;  // pairs with take_connection
  if (!shm::take_connection(segment_, address, me)) return;
  owned_.add(segment_, address);
  shm::set_ready(*segment_.ready(address.worker), address.slot);
  doorbell_.ring(address.worker);
}

// The gateway is gone, and with it the connections we own: nobody else will tell (decisions.md 27).
Result<Message> Attachment::take_lost() noexcept {
  over_ = true;
  while (std::optional<OwnedConnections::Lost> lost = owned_.take_lost(layer_)) {
    shm::Delivery delivery = shm::Delivery::made_up(lost->address, std::move(lost->disconnect));
    const auto fields = MessageView::parse(delivery.content());
    if (!fields.ok()) continue;
    ++received_;
    ++handles_;
    return Message(*this, std::move(delivery), *fields, MessageKind::kWebSocketDisconnect,
                   "websocket.disconnect");
  }
  return Error::kDetached;
}

void Attachment::message_over(Message& message) noexcept {
  shm::Delivery& delivery = message.delivery_;
  if (!usable()) {
    static_cast<void>(delivery.keep());  // shared memory is no longer ours to write
    return;
  }
  if (message.kind_ == MessageKind::kHttpRequest) {
    OpenRequest* request = open_.find(delivery.about());
    if (request != nullptr && request->block == delivery.block()) {
      request->block = delivery.keep();
      request->in_message = false;
    }
  }
  delivery.release();
  // Its worker sends no further chunk before it sees that this one was read (decisions.md 19).
  if (message.kind_ == MessageKind::kHttpRequestBody) doorbell_.ring(delivery.about().worker);
}

void Attachment::end_request(OpenRequest* request) noexcept {
  if (!request->in_message) layer_.free_block(request->block);
  open_.erase(request);
}

// ---- sending ------------------------------------------------------------------------------------

// Claims and encodes; again in a larger block as long as it does not fit.
Result<size_t> Attachment::write(shm::Claim& claim, const MessageWriter& writer) noexcept {
  for (size_t room = std::min(std::max<size_t>(writer.expected_bytes(), 1), kLargestBytes);;) {
    auto claimed = layer_.claim(room);
    if (!claimed.ok()) return claimed.error();
    claim = std::move(*claimed);
    Encoder encoder(claim.space());
    writer(encoder);
    if (const auto bytes = encoder.finish(); bytes.ok()) return bytes->size();
    if (!encoder.overflowed() || room == kLargestBytes) return Error::kMessageTooLarge;
    room = std::min(std::max(room, claim.space().size()) + 1, kLargestBytes);
    // From one block to a chain in one step: chains are gathered on the heap.
    if (room > shm::kClassBytes[shm::kClasses - 1]) room = kLargestBytes;
  }
}

Result<void> Attachment::publish(const Resolved& to, shm::Claim& claim, size_t length) noexcept {
  if (to.address.worker == 0) {
    const auto sent = layer_.send_on(to.channel, claim, length);
    if (!sent.ok()) return sent.error();
    ++sent_;
    return {};
  }
  OpenRequest* request = to.address.ordinal == 0 ? nullptr : open_.find(to.address);
  shm::Route route{.about = to.address};
  bool last = false;
  if (request != nullptr) {
    route.answered_block = request->block;
    route.answered_generation = request->generation;
    const auto more = ValueView(claim.space().first(length)).find("more_content");
    last = !more || !more->boolean().value_or(false);
  }
  const auto sent = layer_.reply(claim, length, route);
  if (!sent.ok()) {
    if (sent.error() == Error::kConnectionGone && request != nullptr) end_request(request);
    return sent.error();
  }
  ++sent_;
  if (request != nullptr) {
    request->begun = true;
    if (last) end_request(request);
  }
  return {};
}

Result<void> Attachment::send(const Destination& to, const MessageWriter& writer,
                              std::chrono::nanoseconds wait) noexcept {
  Result<Resolved> resolved = resolve(to);
  if (!resolved.ok()) return resolved.error();
  RoomWait room(*this, wait);
  uint32_t reopenings = 0;
  shm::Claim claim;
  Result<size_t> length = write(claim, writer);
  for (;;) {
    if (!to.answers_intact_message()) return Error::kSegmentCorrupt;  // what was encoded may be another's
    Result<void> sent = length.ok() ? publish(*resolved, claim, *length) : length.error();
    if (sent.ok()) {
      ring_soon();
      return sent;
    }
    if (sent.error() == Error::kReaderGone && resolved->inbox.index == shm::kNobody &&
        ++reopenings < kReopenings) {  // the channel was given to another name
      resolved = resolve(to);
      if (!resolved.ok()) return resolved.error();
      continue;
    }
    if (!room.next(sent.error(), senders_to(*resolved))) return sent;
    if (!length.ok()) length = write(claim, writer);
  }
}

shm::WaitingSenders* Attachment::senders_to(const Resolved& to) noexcept {
  if (to.address.worker != 0) return nullptr;  // reply() says that we wait
  if (to.inbox.index != shm::kNobody) return senders_to(to.inbox);
  shm::ChannelRecord* record = segment_.channel(to.channel.index);
  return record == nullptr ? nullptr : &record->senders;
}

shm::WaitingSenders* Attachment::senders_to(shm::ProcessName inbox) noexcept {
  shm::ProcessRecord* record = segment_.process(inbox.index);
  return record == nullptr ? nullptr : &record->senders;
}

void Attachment::ring_soon() noexcept {
  if (!pace_.quick() || !layer_.anything_waiting()) {
    ring();
  } else if (!pace_.ring_is_put_off()) {
    pace_.put_ring_off(shm::now_ns());
  }
}

void Attachment::ring() noexcept {
  layer_.ring();
  pace_.rang();
}

bool Attachment::has_reader(std::string_view channel) noexcept {
  const auto found = layer_.channels().find_now(channel);
  if (!found) return false;
  const std::optional<shm::ProcessName> inbox = layer_.channels().inbox_of(*found);
  return inbox ? layer_.processes().is_live(*inbox) : layer_.has_reader(found->index);
}

ConsumerCounts Attachment::counts() const noexcept {
  return {.received = received_,
          .sent = sent_,
          .malformed = malformed_,
          .rings = doorbell_.rings(),
          .sleeps = sleeps_,
          .drops = layer_.drops()};
}

}  // namespace sluice
