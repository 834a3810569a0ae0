// consumer/questions.cc -- what an attachment asks of every worker; the answers come to our inbox.
//
// G2  What else lies there meanwhile is in our hands until receive() gives it out.
#include <algorithm>

#include "consumer/attachment.h"
#include "consumer/room_wait.h"
#include "protocol/limits.h"
#include "protocol/websocket.h"
#include "shm/clock.h"

namespace sluice {
namespace {

constexpr uint32_t kTakenPerLook = 64;  // messages between two looks at the clock and at who lives

std::string_view text_of(const ValueView& map, std::string_view key) noexcept {
  const std::optional<ValueView> value = map.find(key);
  return value ? value->text().value_or("") : std::string_view();
}

}  // namespace

Result<void> Attachment::ask_workers(uint32_t channel, const std::function<void(Encoder&)>& write,
                                     const std::function<void(const MessageView&)>& take,
                                     uint64_t deadline_ns) {
  const int64_t request = ++questions_;
  const auto question = [&](Encoder& encoder) {
    write(encoder);
    encoder.key("request").integer(request);
    encoder.key("incarnation").integer(layer_.me().incarnation);
  };
  const MessageWriter writer(question, limits::kChannelNameBytes + 64);
  std::vector<shm::ProcessName> asked;
  for (uint32_t row = 2; segment_.is_worker(row); ++row) {
    const auto worker = layer_.processes().living(static_cast<shm::ProcessIndex>(row));
    if (!worker) continue;
    const uint64_t now = shm::now_ns();
    RoomWait room(*this, std::chrono::nanoseconds(deadline_ns - std::min(now, deadline_ns)));
    Result<void> told = tell_worker(*worker, {.channel = channel}, writer);
    while (!told.ok() && room.next(told.error(), senders_to(*worker))) {
      told = tell_worker(*worker, {.channel = channel}, writer);
    }
    if (told.ok()) {
      asked.push_back(*worker);
    } else if (told.error() != Error::kReaderGone) {
      return told.error() == Error::kChannelFull ? Error::kTimedOut : told.error();
    }
  }
  ring();

  for (uint32_t taken = 1; !asked.empty(); ++taken) {
    std::optional<shm::Delivery> delivery = layer_.try_receive_from_inbox();
    if (!delivery || taken % kTakenPerLook == 0) {  // however much lies there
      std::erase_if(asked, [this](shm::ProcessName worker) {
        return !layer_.processes().is_live(worker);  // and its connections are gone with it
      });
      if (shm::now_ns() >= deadline_ns && !asked.empty()) {
        if (delivery) kept_.push_back(std::move(*delivery));
        return Error::kTimedOut;
      }
    }
    if (!delivery) {
      if (!asked.empty()) sleep_for_inbox(deadline_ns);
      continue;
    }
    if (delivery->header().channel != channel) {
      kept_.push_back(std::move(*delivery));  // G2
      continue;
    }
    const auto answer = MessageView::parse(delivery->content());
    if (!answer.ok() || answer->integer("request") != request) continue;  // of an earlier question
    take(*answer);
    if (answer->boolean("more_content")) continue;
    std::erase_if(asked, [&](shm::ProcessName worker) {
      return worker.index == delivery->header().sender;
    });
  }
  return {};
}

Result<std::vector<LivingConnection>> Attachment::connections(uint64_t deadline_ns) {
  const auto channel = layer_.channels().open(kWebSocketListChannel);
  if (!channel.ok()) return channel.error();
  list_channel_ = *channel;
  std::vector<LivingConnection> all;
  const auto take = [&](const MessageView& answer) {
    const auto connections = answer.find("connections");
    if (!connections) return;
    for (const ValueView each : *connections) {
      const std::string_view name = text_of(each, "reply_channel");
      if (!name.empty()) all.push_back({std::string(name), std::string(text_of(each, "path"))});
    }
  };
  const Result<void> asked = ask_workers(*channel, [](Encoder&) {}, take, deadline_ns);
  if (!asked.ok()) return asked.error();
  return all;
}

void Attachment::sleep_for_inbox(uint64_t deadline_ns) noexcept {
  doorbell_.fall_asleep_in_futex();
  if (!segment_.inbox(layer_.me().index).empty()) {
    doorbell_.stay_awake();
    return;
  }
  const uint64_t now = shm::now_ns();
  const uint64_t most = std::chrono::nanoseconds(limits::kBoundedSleep).count();
  doorbell_.sleep_in_futex(
      std::chrono::nanoseconds(std::min(deadline_ns - std::min(now, deadline_ns), most)));
  ++sleeps_;
}

}  // namespace sluice
