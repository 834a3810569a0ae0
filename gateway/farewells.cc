// gateway/farewells.cc -- see farewells.h.
#include "gateway/farewells.h"

#include <limits>

#include "protocol/limits.h"
#include "worker/log.h"
#include "worker/websocket_constants.h"

namespace sluice {
namespace {

constexpr uint16_t kAbnormalClosure = 1006;  // RFC 6455 section 7.4.1: the connection was lost
constexpr std::string_view kDisconnectChannel = "websocket.disconnect";

}  // namespace

Farewells::Farewells(uv_loop_t& loop, shm::ChannelLayer& layer)
    : layer_(layer), again_(loop, [this] { send_all(); }) {}

void Farewells::add(std::vector<shm::OwedDisconnect> owed) noexcept {
  for (shm::OwedDisconnect& one : owed) waiting_.push_back(std::move(one));
  send_all();
}

void Farewells::send_all() noexcept {
  // Each is tried once; what finds no room goes to the back. Order between connections means
  // nothing.
  for (size_t tries = waiting_.size(); tries > 0; --tries) {
    const Outcome outcome = send(waiting_.front());
    if (outcome == Outcome::kNoBlock) break;
    if (outcome == Outcome::kNoRoom) {
      waiting_.push_back(std::move(waiting_.front()));
    } else if (outcome == Outcome::kImpossible) {
      log_event(LogLevel::kError, "disconnect_lost", {{"slot", waiting_.front().about.slot}});
    }
    waiting_.pop_front();
  }
  layer_.ring();
  if (!waiting_.empty()) again_.start(limits::kDisconnectRetry);
}

Farewells::Outcome Farewells::send(const shm::OwedDisconnect& owed) noexcept {
  if (owed.constants.size() <= sizeof(shm::PayloadHeader)) return Outcome::kImpossible;
  const auto constants = find_constants(Bytes(owed.constants).subspan(sizeof(shm::PayloadHeader)));
  const Result<uint32_t> channel = layer_.channels().open(kDisconnectChannel);
  if (!constants || !channel.ok()) return Outcome::kImpossible;

  Result<shm::Claim> claim = layer_.claim(constants->keys.size() + kDisconnectTailBytes);
  if (!claim.ok()) return Outcome::kNoBlock;
  const Result<Bytes> encoded =
      encode_disconnect(claim->space(), *constants, kAbnormalClosure, "", owed.order + 1);
  if (!encoded.ok()) return Outcome::kImpossible;

  shm::Route route;
  route.channel = *channel;
  route.about = owed.about;
  route.expires_ms = std::numeric_limits<uint64_t>::max();  // never, in a channel too
  const size_t length = encoded->size();
  if (owed.owner) {
    const Result<shm::Sent> sent = layer_.send_to(*owed.owner, *claim, length, route);
    if (sent.ok()) return Outcome::kSent;
    if (sent.error() == Error::kChannelFull) return Outcome::kNoRoom;
  }
  const Result<shm::Sent> sent = layer_.send(*channel, *claim, length, route);
  if (sent.ok()) return Outcome::kSent;
  return sent.error() == Error::kChannelFull ? Outcome::kNoRoom : Outcome::kImpossible;
}

}  // namespace sluice
