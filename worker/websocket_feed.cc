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

WebSocketFeed::~WebSocketFeed() {
  if (constants_block_ != shm::kNoBlock) place_.layer.pool().free(constants_block_);
}

Result<void> WebSocketFeed::announce(const RequestHead& head, const RequestSource& source,
                                     std::span<const std::string_view> subprotocols) {
  const ReplyChannelName reply_channel = ReplyChannelName::websocket_send(about_);
  place_.scratch.resize(kLargestHeadBytes);
  Encoder encoder(place_.scratch);
  encoder.begin_map();
  const Result<void> keys =
      encode_websocket_head(encoder, head, source, reply_channel.view(), subprotocols);
  if (!keys.ok()) return keys.error();
  elements_ = static_cast<uint16_t>(encoder.elements());
  encoder.end_map();
  const Result<Bytes> map = encoder.finish();
  if (!map.ok()) return map.error();
  if (const Result<void> kept = keep_constants(*map); !kept.ok()) return kept.error();

  Result<shm::Claim> claim = place_.layer.claim(map->size() + kReceiveKeysBytes);
  if (!claim.ok()) return claim.error();
  const Result<Bytes> message = encode_connect(claim->space(), constants());
  CHECK(message.ok());  // kReceiveKeysBytes is enough
  place_.slots.set_constants(about_.slot, constants_block_);
  const Result<shm::Sent> sent = place_.layer.send(
      place_.channels.websocket_connect, *claim, message->size(),
      {.about = about_, .expires_ms = kNeverExpires});  // we withdraw it ourselves
  if (!sent.ok()) {
    place_.slots.disconnect_sent(about_.slot);
    return sent.error();
  }
  shared_ = *sent;
  place_.counters.add(Counter::kWebSockets);
  return {};
}

std::string_view WebSocketFeed::path() const noexcept {
  const std::optional<ValueView> path = ValueView(constants_space().first(map_bytes_)).find("path");
  return path ? path->text().value_or("") : std::string_view();
}

// F4: their size is known, so the block is no larger than it has to be.
Result<void> WebSocketFeed::keep_constants(Bytes map) noexcept {
  Result<shm::Claim> claim = place_.layer.claim(map.size() + kDisconnectTailBytes);
  if (!claim.ok()) return claim.error();
  std::ranges::copy(map, claim->space().begin());
  place_.layer.describe(*claim, map.size() + kDisconnectTailBytes, {.about = about_});
  map_bytes_ = static_cast<uint32_t>(map.size());
  constants_block_ = claim->put_aside();
  return {};
}

std::span<std::byte> WebSocketFeed::constants_space() const noexcept {
  return place_.layer.arenas().own(constants_block_).subspan(sizeof(shm::PayloadHeader));
}

Constants WebSocketFeed::constants() const noexcept {
  return {constants_space().first(map_bytes_).subspan(kMapHeaderBytes), elements_};
}

void WebSocketFeed::found_taken() noexcept {
  if (taken_) return;
  taken_ = true;
  shared_ = {};
  place_.slots.announce(about_.slot);
}

void WebSocketFeed::look_at_owner() noexcept {
  const std::optional<shm::ProcessName> owner = place_.slots.owner(about_.slot);
  if (owner) {
    found_taken();
    if (owner != owner_) {
      owner_ = owner;
      shared_ = {};
    }
    return;
  }
  if (taken_) return;
  shm::ProcessIndex taker = shm::kNobody;
  // Taken, freed and nobody living owns it: its taker came and went.
  if (place_.layer.progress(shared_, taker) == shm::Progress::kOver) found_taken();
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
  if (shared_.block == shm::kNoBlock) return true;
  shm::ProcessIndex taker = shm::kNobody;
  if (place_.layer.progress(shared_, taker) != shm::Progress::kOver) return false;  // F2
  shared_ = {};
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
  const Constants constants = this->constants();
  const size_t room = kMapHeaderBytes + constants.keys.size() + content.size() + kReceiveKeysBytes;
  const uint32_t order = ++order_;
  if (kept_.empty() && may_send()) {
    Result<shm::Claim> claim = place_.layer.claim(room);
    if (claim.ok()) {
      const Result<Bytes> message =
          encode_receive(claim->space(), constants, content, binary, order);
      CHECK(message.ok());  // kReceiveKeysBytes is enough
      if (dispatch(*claim, message->size(), order).ok()) return;
      keep(order, claim->space().first(message->size()));
      return;
    }
  }
  std::vector<std::byte> space(room);
  const Result<Bytes> message = encode_receive(space, constants, content, binary, order);
  CHECK(message.ok());
  keep(order, *message);
}

void WebSocketFeed::keep(uint32_t order, Bytes message) noexcept {
  if (kept_.empty()) waiting_since_ms_ = place_.now_ms;
  auto before = kept_.before_begin();
  for (auto next = kept_.begin(); next != kept_.end() && next->order <= order; ++next) before = next;
  kept_.insert_after(before, {order, {message.begin(), message.end()}});
}

bool WebSocketFeed::pump() noexcept {
  while (!kept_.empty()) {
    if (!may_send()) return false;
    const Kept& next = kept_.front();
    Result<shm::Claim> claim = place_.layer.claim(next.message.size());
    if (!claim.ok()) return false;
    std::copy(next.message.begin(), next.message.end(), claim->space().begin());
    if (!dispatch(*claim, next.message.size(), next.order).ok()) return false;
    kept_.pop_front();
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
    if (shared_.block == returned.block()) shared_ = {};
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
  if (ended()) return;
  leave_by_ms_ = place_.now_ms + static_cast<uint64_t>(place_.settings.receive_timeout.count());
  // Whole from now on. Should we die before it is sent, another is made of the same constants.
  const Result<Bytes> message = encode_disconnect(constants_space(), constants(), code, reason, order_ + 1);
  CHECK(message.ok());  // kDisconnectTailBytes is enough
  map_bytes_ = static_cast<uint32_t>(message->size());
}

bool WebSocketFeed::try_leave() noexcept {
  place_.drop_replies(about_.slot);
  look_at_owner();
  if (!taken_) {
    shm::ProcessIndex taker = shm::kNobody;
    if (place_.layer.progress(shared_, taker) != shm::Progress::kUnread) {  // F3
      // Whoever took it owns it by now, or its stamp was scribbled on.
      if (place_.now_ms < leave_by_ms_) return false;
      found_taken();
    } else {
      if (!place_.layer.withdraw(shared_)) return false;
      place_.counters.add(Counter::kWithdrawn);
      place_.slots.disconnect_sent(about_.slot);
      close_slot();
      return true;
    }
  }
  if (!pump() && place_.now_ms < leave_by_ms_) return false;
  if (shared_.block != shm::kNoBlock && place_.layer.withdraw(shared_)) shared_ = {};
  if (!send_disconnect()) return false;
  place_.counters.add(Counter::kWebSocketDisconnects);
  place_.slots.disconnect_sent(about_.slot);
  close_slot();
  return true;
}

bool WebSocketFeed::send_disconnect() noexcept {
  // Beyond its time a settlement that does not come was scribbled away: an order may be broken then.
  if (!settled() && place_.now_ms < leave_by_ms_) return false;
  const uint32_t channel = place_.channels.websocket_disconnect;
  const shm::Route route{.channel = channel, .about = about_, .expires_ms = kNeverExpires};
  shm::ChannelLayer& layer = place_.layer;
  shm::Claim claim(layer.pool(), constants_block_, constants_space());
  const bool sent = owner_ ? layer.send_to(*owner_, claim, map_bytes_, route).ok()
                           : layer.send(channel, claim, map_bytes_, route).ok();
  constants_block_ = claim.put_aside();
  return sent;
}

void WebSocketFeed::close_slot() noexcept { place_.slots.close(about_.slot); }

}  // namespace sluice
