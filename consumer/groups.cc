// consumer/groups.cc -- groups, as an attachment has them: workers are told who is a member, and asked.
//
// G1  A connection's worker keeps its memberships, and hears of them in its inbox: so what one consumer
//     adds, sends and discards takes effect in that order. Plain channels are members in the segment.
// G2  Answers come to our inbox (questions.cc).
#include <algorithm>
#include <array>

#include "consumer/attachment.h"
#include "consumer/room_wait.h"
#include "protocol/limits.h"
#include "shm/clock.h"

namespace sluice {

Result<Attachment::GroupChannels> Attachment::group_channels() noexcept {
  if (group_channels_) return *group_channels_;
  constexpr std::string_view kNames[] = {"group.add", "group.discard", "group.list", "group.send",
                                         "group.flush"};
  std::array<uint32_t, 5> opened{};
  for (size_t i = 0; i < opened.size(); ++i) {
    const auto channel = layer_.channels().open(kNames[i]);
    if (!channel.ok()) return channel.error();
    opened[i] = *channel;
  }
  group_channels_ = {opened[0], opened[1], opened[2], opened[3], opened[4]};
  return *group_channels_;
}

Result<void> Attachment::tell_worker(shm::ProcessName worker, shm::Route route,
                                     const MessageWriter& writer) noexcept {
  shm::Claim claim;
  const auto length = write(claim, writer);
  if (!length.ok()) return length.error();
  const auto sent = layer_.send_to(worker, claim, *length, route);
  if (!sent.ok()) return sent.error();
  ++sent_;
  return {};
}

// ---- membership ---------------------------------------------------------------------------------

Result<void> Attachment::change_group(std::string_view group, const Destination& member,
                                      Membership change, std::chrono::nanoseconds wait) noexcept {
  if (!valid_group_name(group)) return Error::kChannelNameInvalid;
  ReplyAddress address = member.address();
  if (!member.name().empty()) {
    const auto parsed = parse_reply_channel(member.name());
    if (!parsed) return change_channel(group, member.name(), change);
    address = *parsed;
  }
  if (address.worker == 0 || address.ordinal != 0) return Error::kChannelNameInvalid;
  const auto channels = group_channels();
  if (!channels.ok()) return channels.error();
  const bool adds = change == Membership::kAdd;
  const shm::Route route{.channel = adds ? channels->add : channels->discard, .about = address};
  const auto name = [&](Encoder& encoder) { encoder.key("group").text(group); };
  const shm::ProcessName worker{address.worker, address.incarnation};
  RoomWait room(*this, wait);
  for (;;) {
    if (!shm::find_connection(segment_, address).ok()) {
      if (adds) return Error::kConnectionGone;
      return {};
    }
    const Result<void> told = tell_worker(worker, route, MessageWriter(name, group.size() + 16));
    if (told.ok()) {
      ring_soon();
      return {};
    }
    if (told.error() == Error::kReaderGone) {  // then its connections are gone, too
      if (adds) return Error::kConnectionGone;
      return {};
    }
    if (!room.next(told.error(), senders_to(worker))) return told;
  }
}

Result<void> Attachment::change_channel(std::string_view group, std::string_view channel,
                                        Membership change) noexcept {
  if (change == Membership::kDiscard) {
    if (const auto known = layer_.channels().find(channel)) layer_.groups().discard(group, *known);
    return {};
  }
  // One with `!` is made by its reader alone.
  shm::ChannelTable& channels = layer_.channels();
  const bool addressed = parse_channel_name(channel) == ChannelKind::kProcessSpecific;
  const auto found = addressed ? channels.find_now(channel) : std::nullopt;
  if (addressed && !found) return Error::kReaderGone;
  const auto opened = found ? Result<shm::OpenChannel>(*found) : channels.open_now(channel);
  if (!opened.ok()) return opened.error();
  return layer_.groups().add(group, *opened, shm::now_ms() + segment_.geometry().group_expiry_ms);
}

Result<void> Attachment::flush_groups(std::chrono::nanoseconds wait) noexcept {
  const auto channels = group_channels();
  if (!channels.ok()) return channels.error();
  layer_.groups().clear();
  const auto nothing = [](Encoder&) {};
  const MessageWriter writer(nothing, 16);
  RoomWait room(*this, wait);
  for (uint32_t row = 2; segment_.is_worker(row); ++row) {
    const auto worker = layer_.processes().living(static_cast<shm::ProcessIndex>(row));
    if (!worker) continue;
    Result<void> told = tell_worker(*worker, {.channel = channels->flush}, writer);
    while (!told.ok() && room.next(told.error(), senders_to(*worker))) {
      told = tell_worker(*worker, {.channel = channels->flush}, writer);
    }
    if (!told.ok() && told.error() != Error::kReaderGone) return told;
  }
  ring_soon();
  return {};
}

// ---- sending ------------------------------------------------------------------------------------

Result<shm::GroupSent> Attachment::send_to_group(std::string_view group, const MessageWriter& writer,
                                                 std::chrono::nanoseconds wait) noexcept {
  if (!valid_group_name(group)) return Error::kChannelNameInvalid;
  const auto channels = group_channels();
  if (!channels.ok()) return channels.error();
  std::array<std::byte, limits::kChannelNameBytes + 32> space;
  Encoder encoder(space);
  encoder.begin_map().key("group").text(group).end_map();
  const auto fields = encoder.finish();
  if (!fields.ok()) return fields.error();
  RoomWait room(*this, wait);
  for (;;) {
    shm::Claim claim;
    const auto length = write(claim, writer);
    Result<shm::GroupSent> sent =
        length.ok() ? layer_.send_to_group(group, claim, *length, {channels->send, *fields})
                    : length.error();
    if (sent.ok()) {
      ++sent_;
      ring_soon();
      return sent;
    }
    if (!room.next(sent.error(), nullptr)) return sent;
  }
}

// ---- asking -------------------------------------------------------------------------------------

Result<std::vector<std::string>> Attachment::group_members(std::string_view group,
                                                           uint64_t deadline_ns) {
  if (!valid_group_name(group)) return Error::kChannelNameInvalid;
  const auto channels = group_channels();
  if (!channels.ok()) return channels.error();
  std::vector<std::string> names;
  layer_.groups().for_each_member(group, shm::now_ms(), [&](const shm::OpenChannel& channel) {
    const std::optional<shm::ProcessName> maker = layer_.channels().inbox_of(channel);
    if (maker && !layer_.processes().is_live(*maker)) return;  // recovery is about to end it
    names.push_back(layer_.channels().name_of(channel.index));
  });

  const auto question = [&](Encoder& encoder) { encoder.key("group").text(group); };
  const auto take = [&](const MessageView& answer) {
    if (const auto members = answer.find("members")) {
      for (const ValueView member : *members) names.emplace_back(member.text().value_or(""));
    }
  };
  const Result<void> asked = ask_workers(channels->list, question, take, deadline_ns);
  if (!asked.ok()) return asked.error();
  return names;
}

}  // namespace sluice
