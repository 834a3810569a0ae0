// worker/group_messages.cc -- see group_messages.h.
#include "worker/group_messages.h"

#include <algorithm>

#include "protocol/group.h"
#include "protocol/limits.h"

namespace sluice {

void GroupMessages::begin_turn() noexcept {
  members_left_ = limits::kGroupMembersPerTurn;
  bytes_left_ = limits::kGroupBytesPerTurn;
  go_on();
}

bool GroupMessages::take(const shm::Delivery& message) noexcept {
  const Channels& channels = place_.channels;
  const uint32_t channel = message.header().channel;
  if (channel != channels.group_add && channel != channels.group_discard &&
      channel != channels.group_list && channel != channels.group_send &&
      channel != channels.group_flush) {
    return false;
  }
  if (channel == channels.group_flush) {
    place_.groups.clear();
    return true;
  }
  const Result<MessageView> fields = MessageView::parse(message.content());
  const bool lists = channel == channels.group_list;
  const std::span<const Field> table = lists ? std::span<const Field>(kGroupList) : kGroupChange;
  const bool fits = fields.ok() && !check(*fields, table);
  const std::string group(fits ? fields->text("group") : std::string_view());
  if (!valid_group_name(group)) {
    place_.counters.add(Counter::kMalformedAnswers);  // a payload it names is its sender's loss
    return true;
  }
  if (channel == channels.group_add) {
    add(message.about(), group);
  } else if (channel == channels.group_discard) {
    if (connections_.find(message.about()) != nullptr) {
      place_.groups.discard(group, message.about().slot);
    }
  } else if (lists) {
    group_ = group;
    begin_list(message, *fields);
  } else {
    begin_send(message, group);
  }
  return true;
}

void GroupMessages::add(const ReplyAddress& about, std::string_view group) noexcept {
  Connection* connection = connections_.find(about);
  if (connection == nullptr || connection->ending() || about.ordinal != 0 ||
      !connection->conversation().takes_frames()) {
    place_.counters.add(Counter::kMisaddressed);  // gone meanwhile, mostly
    return;
  }
  const uint64_t ends_ms = place_.now_ms + static_cast<uint64_t>(place_.settings.group_expiry.count());
  if (!place_.groups.add(group, about.slot, about.generation, ends_ms)) {
    place_.counters.add(Counter::kTooManyGroups);
  }
}

// ---- list ---------------------------------------------------------------------------------------

void GroupMessages::begin_list(const shm::Delivery& question, const MessageView& fields) noexcept {
  work_ = Work::kList;
  asker_ = {{question.header().sender, static_cast<uint32_t>(fields.integer("incarnation"))},
            fields.integer("request")};
  place_.groups.copy_members(group_, place_.now_ms, members_);
  next_ = 0;
  if (members_.empty()) answer_with_next();
  go_on();
}

void GroupMessages::answer_with_next() noexcept {
  constexpr size_t kNameBytes = 100;  // of a reply channel, and its header
  constexpr size_t kOtherBytes = 300;
  const size_t end = std::min(members_.size(), next_ + limits::kGroupMembersPerAnswer);
  Result<shm::Claim> claim = place_.layer.claim(kOtherBytes + (end - next_) * kNameBytes);
  bool sent = false;
  if (claim.ok()) {
    Encoder encoder(claim->space());
    encoder.begin_map().key("group").text(group_).key("request").integer(asker_.request);
    encoder.key("members").begin_list();
    const shm::ProcessName me = place_.layer.me();
    for (size_t i = next_; i < end; ++i) {
      const ReplyAddress address{me.index, me.incarnation, members_[i].slot, members_[i].generation, 0};
      encoder.text(ReplyChannelName::websocket_send(address).view());
    }
    encoder.end_list().key("more_content").boolean(end < members_.size()).end_map();
    const Result<Bytes> answer = encoder.finish();
    CHECK(answer.ok());  // the room above is enough
    sent = place_.layer
               .send_to(asker_.process, *claim, answer->size(), {.channel = place_.channels.group_list})
               .ok();
  }
  members_left_ -= std::min(members_left_, end - next_);
  next_ = end;
  if (sent) return;
  place_.counters.add(Counter::kGroupAnswersLost);  // whoever asked has a deadline
  next_ = members_.size();
}

// ---- send ---------------------------------------------------------------------------------------

void GroupMessages::begin_send(const shm::Delivery& notice, std::string_view group) noexcept {
  const std::optional<shm::SharedMessage> shared = place_.layer.read_shared(notice);
  if (!shared) {
    place_.counters.add(Counter::kGroupMessagesLost);
    return;
  }
  work_ = Work::kSend;
  place_.groups.copy_members(group, place_.now_ms, members_);
  next_ = 0;
  const bool framed = !members_.empty() && write_frame(shared->message.content);
  if (!place_.layer.let_go(*shared)) {  // B1
    place_.counters.add(Counter::kGroupMessagesLost);
    members_.clear();
  } else if (framed) {
    place_.counters.add(Counter::kGroupMessages);
  } else {
    members_.clear();
  }
  go_on();
}

// The message as one frame in frame_; false where it is none that a WebSocket can get.
bool GroupMessages::write_frame(Bytes bytes) noexcept {
  const Result<MessageView> message = MessageView::parse(bytes);
  const std::optional<ValueView> content = message.ok() ? message->find("content") : std::nullopt;
  const std::optional<Bytes> whole = content ? content->text_or_bytes() : std::nullopt;
  if (!whole) {
    place_.counters.add(Counter::kMalformedAnswers);
    return false;
  }
  if (whole->size() > limits::kMessageBytes) {
    place_.counters.add(Counter::kOversizedAnswers);
    return false;
  }
  if (!frame_.assign(*whole, message->boolean("binary", content->type() == Type::kBytes))) {
    place_.counters.add(Counter::kMalformedAnswers);
    return false;
  }
  return true;
}

void GroupMessages::go_on() noexcept {
  while (busy() && members_left_ > 0 && bytes_left_ > 0) {
    if (work_ == Work::kList) {
      answer_with_next();
    } else {
      send_to_next();
    }
  }
  if (busy()) return;
  members_.clear();
  next_ = 0;
  frame_.forget_large();
}

void GroupMessages::send_to_next() noexcept {
  const Groups::Member& member = members_[next_++];
  --members_left_;
  Connection* connection = connections_.find(member.slot);
  if (connection == nullptr || connection->ending() ||
      connection->address(0).generation != member.generation) {
    return;  // left meanwhile
  }
  bytes_left_ -= std::min(bytes_left_, frame_.plain().size());
  const Connection::Turn turn(*connection);
  switch (connection->conversation().take_frame(frame_)) {
    case FrameOutcome::kTaken: place_.counters.add(Counter::kGroupFrames); break;
    case FrameOutcome::kSlow: place_.counters.add(Counter::kGroupMembersFull); break;
    case FrameOutcome::kClosing: break;
  }
}

}  // namespace sluice
