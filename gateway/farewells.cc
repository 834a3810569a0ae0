// gateway/farewells.cc -- see farewells.h.
#include "gateway/farewells.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "protocol/limits.h"
#include "worker/log.h"
#include "protocol/websocket_constants.h"

namespace sluice {
namespace {

constexpr uint16_t kAbnormalClosure = 1006;  // RFC 6455 section 7.4.1: the connection was lost
constexpr std::string_view kDisconnectChannel = "websocket.disconnect";

// The whole message; empty when the constants are none.
std::vector<std::byte> disconnect_of(const shm::OwedDisconnect& owed) {
  if (owed.constants.size() <= sizeof(shm::PayloadHeader)) return {};
  const auto constants = find_constants(Bytes(owed.constants).subspan(sizeof(shm::PayloadHeader)));
  if (!constants) return {};
  std::vector<std::byte> space(constants->keys.size() + kDisconnectTailBytes);
  const Result<Bytes> encoded =
      encode_disconnect(space, *constants, kAbnormalClosure, "", owed.order + 1);
  space.resize(encoded.ok() ? encoded->size() : 0);
  return space;
}

void log_lost(uint32_t slot) noexcept {
  log_event(LogLevel::kError, "disconnect_lost", {{"slot", slot}});
}

}  // namespace

Farewells::Farewells(uv_loop_t& loop, shm::ChannelLayer& layer)
    : layer_(layer), again_(loop, [this] { send_all(); }) {}

void Farewells::add(const std::vector<shm::OwedDisconnect>& owed) noexcept {
  for (const shm::OwedDisconnect& one : owed) {
    std::vector<std::byte> message = disconnect_of(one);
    if (message.empty()) {
      log_lost(one.about.slot);
    } else {
      waiting_.push_back({one.about, one.owner, std::move(message)});
    }
  }
  send_all();
}

void Farewells::take_back(std::span<const shm::BlockIndex> unread) noexcept {
  for (const shm::BlockIndex block : unread) {
    // Our own arena, which nobody else can write; but which block it is somebody else said.
    const std::span<const std::byte> payload = layer_.arenas().payload(block);
    shm::PayloadHeader header{};
    if (payload.size() >= sizeof header) std::memcpy(&header, payload.data(), sizeof header);
    if (header.length > 0 && header.length <= payload.size() - sizeof header) {
      const auto message = payload.subspan(sizeof header, header.length);
      waiting_.push_back({{header.worker, header.incarnation, header.slot, header.slot_generation, 0},
                          std::nullopt,
                          {message.begin(), message.end()}});
    }
    layer_.free_block(block);
  }
  send_all();
}

void Farewells::send_all() noexcept {
  // Each is tried once; what finds no room goes to the back. Order between connections means
  // nothing.
  for (size_t tries = waiting_.size(); tries > 0; --tries) {
    const Outcome outcome = send(waiting_.front());
    if (outcome == Outcome::kNoBlock) break;
    if (outcome == Outcome::kNoRoom) waiting_.push_back(std::move(waiting_.front()));
    if (outcome == Outcome::kImpossible) log_lost(waiting_.front().about.slot);
    waiting_.pop_front();
  }
  layer_.ring();
  if (!waiting_.empty()) again_.start(limits::kDisconnectRetry);
}

Farewells::Outcome Farewells::send(const Farewell& farewell) noexcept {
  const Result<uint32_t> channel = layer_.channels().open(kDisconnectChannel);
  if (!channel.ok()) return Outcome::kImpossible;
  const size_t length = farewell.message.size();
  Result<shm::Claim> claim = layer_.claim(length);
  if (!claim.ok()) return Outcome::kNoBlock;
  std::copy(farewell.message.begin(), farewell.message.end(), claim->space().begin());

  shm::Route route;
  route.channel = *channel;
  route.about = farewell.about;
  route.expires_ms = std::numeric_limits<uint64_t>::max();  // never, in a channel too
  if (farewell.owner) {
    const Result<shm::Sent> sent = layer_.send_to(*farewell.owner, *claim, length, route);
    if (sent.ok()) return Outcome::kSent;
    if (sent.error() == Error::kChannelFull) return Outcome::kNoRoom;
  }
  const Result<shm::Sent> sent = layer_.send(*channel, *claim, length, route);
  if (sent.ok()) return Outcome::kSent;
  return sent.error() == Error::kChannelFull ? Outcome::kNoRoom : Outcome::kImpossible;
}

}  // namespace sluice
