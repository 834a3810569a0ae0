// consumer/consumer.cc -- the face: each call checks that there is an attachment, then asks it.
#include "consumer/consumer.h"

#include <new>
#include <system_error>

#include "consumer/attachment.h"
#include "shm/clock.h"

namespace sluice {

// ---- Message ------------------------------------------------------------------------------------

Message::Message(Attachment& attachment, shm::Delivery delivery, MessageView fields,
                 MessageKind kind, std::string_view channel) noexcept
    : attachment_(&attachment),
      delivery_(std::move(delivery)),
      fields_(fields),
      channel_(channel),
      kind_(kind) {
  if (kind == MessageKind::kHttpRequestBody) {
    body_channel_ = ReplyChannelName::http_request_body(delivery_.about());
  }
}

Message::Message(Message&& other) noexcept
    : attachment_(std::exchange(other.attachment_, nullptr)),
      delivery_(std::move(other.delivery_)),
      fields_(other.fields_),
      channel_(other.channel_),
      body_channel_(other.body_channel_),
      kind_(other.kind_) {}

Message& Message::operator=(Message&& other) noexcept {
  if (this == &other) return *this;
  release();
  attachment_ = std::exchange(other.attachment_, nullptr);
  delivery_ = std::move(other.delivery_);
  fields_ = other.fields_;
  channel_ = other.channel_;
  body_channel_ = other.body_channel_;
  kind_ = other.kind_;
  return *this;
}

void Message::release() noexcept {
  if (attachment_ == nullptr) return;
  attachment_->message_over(*this);
  std::exchange(attachment_, nullptr)->let_go();
}

// ---- MessageWriter ------------------------------------------------------------------------------

namespace {

size_t room_for(std::span<const Pair> fields) noexcept;

struct RoomFor {
  size_t operator()(std::nullptr_t) const noexcept { return 1; }
  size_t operator()(bool) const noexcept { return 1; }
  size_t operator()(int64_t) const noexcept { return 9; }
  size_t operator()(std::string_view value) const noexcept { return 5 + value.size(); }
  size_t operator()(Bytes value) const noexcept { return 5 + value.size(); }
  size_t operator()(std::span<const Value> values) const noexcept {
    size_t room = 3;
    for (const Value& value : values) room += std::visit(*this, value.held);
    return room;
  }
  size_t operator()(std::span<const Pair> pairs) const noexcept { return room_for(pairs); }
};

size_t room_for(std::span<const Pair> fields) noexcept {
  size_t room = 3;
  for (const Pair& pair : fields)
    room += 5 + pair.key.size() + std::visit(RoomFor{}, pair.value.held);
  return room;
}

}  // namespace

MessageWriter::MessageWriter(std::span<const Pair> fields) noexcept
    : what_(fields.data()),
      count_(fields.size()),
      expected_bytes_(room_for(fields)),
      call_([](const void* what, size_t count, Encoder& encoder) noexcept {
        encode(encoder, std::span(static_cast<const Pair*>(what), count));
      }) {}

// ---- Consumer -----------------------------------------------------------------------------------

Result<Consumer> Consumer::attach(std::string_view control_socket,
                                  std::span<const std::string_view> channels) noexcept {
  Result<Welcome> welcome = start_handshake(control_socket);
  if (!welcome.ok()) return welcome.error();
  try {
    Consumer consumer(new Attachment(std::move(*welcome)));
    if (auto joined = consumer.attachment_->join(channels); !joined.ok()) return joined.error();
    return consumer;
  } catch (const std::bad_alloc&) {
    return Error::kRefused;
  } catch (const std::system_error&) {
    return Error::kRefused;
  }
}

Consumer::Consumer(Consumer&& other) noexcept
    : attachment_(std::exchange(other.attachment_, nullptr)) {}

Consumer& Consumer::operator=(Consumer&& other) noexcept {
  if (this == &other) return *this;
  detach();
  attachment_ = std::exchange(other.attachment_, nullptr);
  return *this;
}

void Consumer::detach() noexcept {
  if (attachment_ == nullptr) return;
  attachment_->leave();
  std::exchange(attachment_, nullptr)->let_go();
}

bool Consumer::attached() const noexcept { return attachment_ != nullptr && attachment_->usable(); }

uint32_t Consumer::number() const noexcept {
  return attachment_ == nullptr ? 0 : attachment_->number();
}

Result<void> Consumer::read(std::string_view channel) noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->read(channel);
}

void Consumer::stop_reading() noexcept {
  if (attached()) attachment_->stop_reading();
}

Result<Message> Consumer::receive() noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->receive(UINT64_MAX);
}

Result<Message> Consumer::receive(std::chrono::nanoseconds timeout) noexcept {
  if (!attached()) return Error::kDetached;
  // Most of the time something is there, and no clock need be read.
  Result<Message> message = attachment_->receive(0);
  if (message.ok() || message.error() != Error::kTimedOut || timeout.count() <= 0) return message;
  return attachment_->receive(shm::now_ns() + static_cast<uint64_t>(timeout.count()));
}

Result<Message> Consumer::try_receive() noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->receive(0);
}

void Consumer::interrupt() noexcept {
  if (attachment_ != nullptr) attachment_->interrupt();
}

int Consumer::poll_fd() const noexcept {
  return attachment_ == nullptr ? -1 : attachment_->poll_fd();
}

bool Consumer::arm() noexcept { return !attached() || attachment_->arm(); }

Result<std::string> Consumer::new_channel(std::string_view prefix) noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->new_channel(prefix);
}

Result<void> Consumer::set_limits(std::string_view glob, ChannelLimits limits) noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->layer().channels().rules().set(glob, limits);
}

Result<ChannelStatistics> Consumer::statistics(std::string_view channel) noexcept {
  if (!attached()) return Error::kDetached;
  if (!parse_channel_name(channel)) return Error::kChannelNameInvalid;
  return shm::Statistics(attachment_->layer()).of(channel);
}

Result<ChannelStatistics> Consumer::statistics() noexcept {
  if (!attached()) return Error::kDetached;
  return shm::Statistics(attachment_->layer()).total();
}

Result<uint64_t> Consumer::flush_channel(std::string_view channel) noexcept {
  if (!attached()) return Error::kDetached;
  if (!parse_channel_name(channel)) return Error::kChannelNameInvalid;
  const auto found = attachment_->layer().channels().find(channel);
  if (!found) return uint64_t{0};
  const uint64_t flushed = shm::Statistics(attachment_->layer()).flush(*found);
  attachment_->ring();
  return flushed;
}

Result<uint64_t> Consumer::flush_all(std::chrono::nanoseconds wait) noexcept {
  if (!attached()) return Error::kDetached;
  const uint64_t flushed = shm::Statistics(attachment_->layer()).flush_all();
  const Result<void> ended = attachment_->flush_groups(wait);
  attachment_->ring();
  if (!ended.ok()) return ended.error();
  return flushed;
}

Result<void> Consumer::send_message(const Destination& to, const MessageWriter& writer,
                                    std::chrono::nanoseconds wait) noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->send(to, writer, wait);
}

Result<void> Consumer::group_add(std::string_view group, const Destination& member,
                                 std::chrono::nanoseconds wait) noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->change_group(group, member, Attachment::Membership::kAdd, wait);
}

Result<void> Consumer::group_discard(std::string_view group, const Destination& member,
                                     std::chrono::nanoseconds wait) noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->change_group(group, member, Attachment::Membership::kDiscard, wait);
}

Result<std::vector<std::string>> Consumer::group_members(
    std::string_view group, std::chrono::nanoseconds timeout) noexcept {
  if (!attached()) return Error::kDetached;
  try {
    return attachment_->group_members(group,
                                      shm::now_ns() + static_cast<uint64_t>(timeout.count()));
  } catch (const std::bad_alloc&) {
    return Error::kOutOfBlocks;
  }
}

Result<std::vector<LivingConnection>> Consumer::connections(std::chrono::nanoseconds timeout) noexcept {
  if (!attached()) return Error::kDetached;
  try {
    return attachment_->connections(shm::now_ns() + static_cast<uint64_t>(timeout.count()));
  } catch (const std::bad_alloc&) {
    return Error::kOutOfBlocks;
  }
}

Result<GroupSent> Consumer::send_to_group(std::string_view group, const MessageWriter& writer,
                                          std::chrono::nanoseconds wait) noexcept {
  if (!attached()) return Error::kDetached;
  return attachment_->send_to_group(group, writer, wait);
}

void Consumer::flush() noexcept {
  if (attached()) attachment_->ring();
}

bool Consumer::has_reader(std::string_view channel) noexcept {
  return attached() && attachment_->has_reader(channel);
}

bool Consumer::is_open(const ReplyAddress& address) noexcept {
  return attached() && attachment_->is_open(address);
}

size_t Consumer::open_requests() const noexcept {
  return attachment_ == nullptr ? 0 : attachment_->open_requests();
}

ConsumerCounts Consumer::counts() const noexcept {
  return attachment_ == nullptr ? ConsumerCounts{} : attachment_->counts();
}

}  // namespace sluice
