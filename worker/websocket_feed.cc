// worker/websocket_feed.cc -- who gets the next message, and what to do while nobody does; see
// websocket_feed.h.
#include "worker/websocket_feed.h"

#include <algorithm>
#include <limits>

#include "worker/workplace.h"

namespace sluice {
namespace {

constexpr size_t kLargestHeadBytes = 256 * limits::kKiB;  // a head of kHeadBytes, every key it turns into
constexpr uint64_t kNeverExpires = std::numeric_limits<uint64_t>::max();

// What a message of our own making says its order is.
uint32_t order_of(Bytes message) noexcept {
  const std::optional<ValueView> order = ValueView(message).find("order");
  return order ? static_cast<uint32_t>(order->integer().value_or(0)) : 0;
}

}  // namespace

// ---- the connect --------------------------------------------------------------------------------

Result<void> WebSocketFeed::announce(const RequestHead& head, const RequestSource& source,
                                     std::span<const std::string_view> subprotocols) {
  const ReplyChannelName reply_channel = ReplyChannelName::websocket_send(about_);
  Bytes map;
  for (size_t room = expected_head_bytes(head); map.empty(); room *= 4) {
    if (room > kLargestHeadBytes) return Error::kMessageTooLarge;
    Result<shm::Claim> claim = place_.layer.claim(room + kDisconnectTailBytes);
    if (!claim.ok()) return claim.error();
    const std::span<std::byte> space = claim->space();
    Encoder encoder(space.first(space.size() - kDisconnectTailBytes));
    encoder.begin_map();
    const Result<void> keys =
        encode_websocket_head(encoder, head, source, reply_channel.view(), subprotocols);
    if (!keys.ok()) return keys.error();
    constants_.elements = encoder.elements();
    encoder.end_map();
    const Result<Bytes> encoded = encoder.finish();
    if (!encoded.ok()) continue;
    map = *encoded;
    constants_block_ = std::move(*claim);
  }
  constants_.keys = map.subspan(kMapHeaderBytes);
  place_.layer.describe(constants_block_, map.size() + kDisconnectTailBytes, {.about = about_});

  Result<shm::Claim> claim = place_.layer.claim(map.size() + kReceiveKeysBytes);
  if (!claim.ok()) return claim.error();
  const Result<Bytes> message = encode_connect(claim->space(), constants_);
  CHECK(message.ok());  // kReceiveKeysBytes is enough
  place_.slots.set_constants(about_.slot, constants_block_.block());
  const Result<shm::Sent> sent = place_.layer.send(
      place_.channels.websocket_connect, *claim, message->size(),
      {.about = about_, .expires_ms = kNeverExpires});  // we withdraw it ourselves
  if (!sent.ok()) {
    place_.slots.disconnect_sent(about_.slot);
    return sent.error();
  }
  connect_ = *sent;
  place_.counters.add(Counter::kWebSockets);
  return {};
}

std::string_view WebSocketFeed::path() const noexcept {
  const Bytes map(constants_.keys.data() - kMapHeaderBytes, constants_.keys.size() + kMapHeaderBytes);
  const std::optional<ValueView> path = ValueView(map).find("path");
  return path ? path->text().value_or("") : std::string_view();
}

void WebSocketFeed::found_taken() noexcept {
  if (taken_) return;
  taken_ = true;
  place_.slots.announce(about_.slot);
}

void WebSocketFeed::look_at_owner() noexcept {
  const std::optional<shm::ProcessName> owner = place_.slots.owner(about_.slot);
  if (owner) {
    found_taken();
    if (owner != owner_) {
      owner_ = owner;
      shared_.reset();
    }
    return;
  }
  if (taken_) return;
  shm::ProcessIndex taker = shm::kNobody;
  // Taken, freed and nobody living owns it: its taker came and went.
  if (place_.layer.progress(connect_, taker) == shm::Progress::kOver) found_taken();
}

// ---- receives -----------------------------------------------------------------------------------

bool WebSocketFeed::settled() noexcept {
  if (settling_ == 0) return true;
  const shm::ChannelLayer& layer = place_.layer;
  const uint64_t done = layer.segment().process(layer.me().index)->settled_deaths.load(
      std::memory_order_acquire);  // pairs with recovery's release: what came back is in our inbox
  if (done < settling_ || layer.anything_waiting()) return false;
  settling_ = 0;
  return true;
}

bool WebSocketFeed::may_send() noexcept {
  if (!taken_) return false;
  if (!settled()) return false;  // F1
  if (owner_) return !owner_is_stuck();
  if (!shared_) return true;
  shm::ProcessIndex taker = shm::kNobody;
  if (place_.layer.progress(*shared_, taker) != shm::Progress::kOver) return false;  // F2
  shared_.reset();
  return true;
}

bool WebSocketFeed::owner_is_stuck() const noexcept {
  return owner_ && place_.stuck_consumers.is_stuck(*owner_);
}

void WebSocketFeed::pause() noexcept {
  if (waiting_since_ms_ == kNever) waiting_since_ms_ = place_.now_ms;
}

Result<void> WebSocketFeed::dispatch(shm::Claim& claim, size_t length, uint32_t order) noexcept {
  shm::ChannelLayer& layer = place_.layer;
  const uint32_t channel = place_.channels.websocket_receive;
  const shm::Route route{.channel = channel, .about = about_,
                         .expires_ms = kNeverExpires};  // the connection's clock rules: 1013, no gap
  const Result<shm::Sent> sent = owner_ ? layer.send_to(*owner_, claim, length, route)
                                        : layer.send(channel, claim, length, route);
  if (owner_) place_.stuck_consumers.sent_to(*owner_, place_.now_ms);
  if (!sent.ok()) return sent.error();
  if (!owner_) shared_ = *sent;
  place_.slots.set_order(about_.slot, order);
  return {};
}

void WebSocketFeed::receive(Bytes content, bool binary) noexcept {
  const size_t room = kMapHeaderBytes + constants_.keys.size() + content.size() + kReceiveKeysBytes;
  const uint32_t order = ++order_;
  if (kept_.empty() && may_send()) {
    Result<shm::Claim> claim = place_.layer.claim(room);
    if (claim.ok()) {
      const Result<Bytes> message =
          encode_receive(claim->space(), constants_, content, binary, order);
      CHECK(message.ok());  // kReceiveKeysBytes is enough
      if (dispatch(*claim, message->size(), order).ok()) return;
      keep(order, claim->space().first(message->size()));
      return;
    }
  }
  std::vector<std::byte> space(room);
  const Result<Bytes> message = encode_receive(space, constants_, content, binary, order);
  CHECK(message.ok());
  keep(order, *message);
}

void WebSocketFeed::keep(uint32_t order, Bytes message) noexcept {
  if (kept_.empty()) waiting_since_ms_ = place_.now_ms;
  const auto place = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const Kept& kept) { return kept.order > order; });
  kept_.insert(place, {order, {message.begin(), message.end()}});
}

bool WebSocketFeed::pump() noexcept {
  while (!kept_.empty()) {
    if (!may_send()) return false;
    const Kept& next = kept_.front();
    Result<shm::Claim> claim = place_.layer.claim(next.message.size());
    if (!claim.ok()) return false;
    std::copy(next.message.begin(), next.message.end(), claim->space().begin());
    if (!dispatch(*claim, next.message.size(), next.order).ok()) return false;
    kept_.erase(kept_.begin());
    waiting_since_ms_ = place_.now_ms;  // somebody reads: the clock begins again
  }
  const bool may = may_send();
  if (may || !owner_is_stuck()) waiting_since_ms_ = kNever;
  return may;
}

// ---- deaths -------------------------------------------------------------------------------------

void WebSocketFeed::on_deaths(uint64_t deaths) noexcept {
  look_at_owner();
  if (!owner_ || place_.layer.processes().is_live(*owner_)) return;
  owner_.reset();
  settling_ = deaths;
}

bool WebSocketFeed::take_back(shm::Delivery& returned) noexcept {
  if (returned.about() != about_) return false;
  if (returned.header().channel == place_.channels.websocket_connect) {
    found_taken();
  } else if (returned.header().channel == place_.channels.websocket_receive) {
    if (shared_ && shared_->block == returned.block()) shared_.reset();
    if (returned.returned() == shm::Returned::kUnread) {
      keep(order_of(returned.content()), returned.content());
      place_.counters.add(Counter::kResent);
    } else {
      place_.counters.add(Counter::kReceivesLost);
    }
  }
  return true;
}

// ---- the end ------------------------------------------------------------------------------------

void WebSocketFeed::end(uint16_t code, std::string_view reason) noexcept {
  if (leave_by_ms_ != kNever) return;
  code_ = code;
  reason_.assign(reason);
  leave_by_ms_ = place_.now_ms + static_cast<uint64_t>(place_.settings.receive_timeout.count());
}

bool WebSocketFeed::try_leave() noexcept {
  place_.drop_replies(about_.slot);
  look_at_owner();
  if (!taken_) {
    shm::ProcessIndex taker = shm::kNobody;
    if (place_.layer.progress(connect_, taker) != shm::Progress::kUnread) {  // F3
      // Whoever took it owns it by now, or its stamp was scribbled on.
      if (place_.now_ms < leave_by_ms_) return false;
      found_taken();
    } else {
      if (!place_.layer.withdraw(connect_)) return false;
      place_.counters.add(Counter::kWithdrawn);
      place_.slots.disconnect_sent(about_.slot);
      close_slot();
      return true;
    }
  }
  if (!pump() && place_.now_ms < leave_by_ms_) return false;
  if (shared_ && place_.layer.withdraw(*shared_)) shared_.reset();
  if (!send_disconnect()) return false;
  place_.counters.add(Counter::kWebSocketDisconnects);
  place_.slots.disconnect_sent(about_.slot);
  close_slot();
  return true;
}

bool WebSocketFeed::send_disconnect() noexcept {
  // Beyond its time a settlement that does not come was scribbled away: an order may be broken then.
  if (!settled() && place_.now_ms < leave_by_ms_) return false;
  const uint32_t order = order_ + 1;
  const Result<Bytes> message =
      encode_disconnect(constants_block_.space(), constants_, code_, reason_, order);
  CHECK(message.ok());  // kDisconnectTailBytes is enough
  const uint32_t channel = place_.channels.websocket_disconnect;
  const shm::Route route{.channel = channel, .about = about_, .expires_ms = kNeverExpires};
  shm::ChannelLayer& layer = place_.layer;
  return owner_ ? layer.send_to(*owner_, constants_block_, message->size(), route).ok()
                : layer.send(channel, constants_block_, message->size(), route).ok();
}

void WebSocketFeed::close_slot() noexcept { place_.slots.close(about_.slot); }

}  // namespace sluice
