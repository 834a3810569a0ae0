// consumer/owned_connections.cc -- see owned_connections.h.
#include "consumer/owned_connections.h"

#include <limits>
#include <new>

#include "protocol/message.h"
#include "protocol/websocket_constants.h"

namespace sluice {
namespace {

using enum std::memory_order;

constexpr uint16_t kAbnormalClosure = 1006;  // RFC 6455 section 7.4.1: the connection was lost
constexpr size_t kBareBytes = 512;           // a reply channel's name, and the tail

// What comes after the last receive; as high as can be when the slot is another connection's by now.
uint32_t last_order(const shm::Segment& segment, const ReplyAddress& address) noexcept {
  const auto record = shm::find_connection(segment, address);
  if (!record.ok()) return std::numeric_limits<uint32_t>::max();
  return (*record)->order.load(relaxed) + 1;  // a number for the application, nothing hangs on it
}

// From the constants in that block, if they are this connection's; else empty.
std::vector<std::byte> with_constants(shm::ChannelLayer& layer, shm::BlockIndex block,
                                      std::string_view reply_channel, uint32_t order) {
  const std::span<const std::byte> payload = layer.arenas().payload(block);
  if (payload.size() <= sizeof(shm::PayloadHeader)) return {};
  const auto shared = payload.subspan(sizeof(shm::PayloadHeader));
  std::vector<std::byte> space(shared.begin(), shared.end());  // its writer may be at work
  const auto constants = find_constants(space);
  if (!constants) return {};
  space.resize(space.size() + kDisconnectTailBytes);
  // The keys lie in the space itself, which may have moved.
  const Constants keys{Bytes(space).subspan(kMapHeaderBytes, constants->keys.size()),
                       constants->elements};
  const Result<Bytes> encoded = encode_disconnect(space, keys, kAbnormalClosure, "", order);
  if (!encoded.ok()) return {};
  space.resize(encoded->size());
  const auto fields = MessageView::parse(space);
  if (!fields.ok() || fields->text("reply_channel") != reply_channel) return {};
  return space;
}

std::vector<std::byte> bare(std::string_view reply_channel, uint32_t order) {
  std::vector<std::byte> space(kBareBytes);
  Encoder encoder(space);
  encode(encoder, {{"reply_channel", reply_channel},
                   {"code", kAbnormalClosure},
                   {"reason", ""},
                   {"order", static_cast<int64_t>(order)}});
  const Result<Bytes> encoded = encoder.finish();
  space.resize(encoded.ok() ? encoded->size() : 0);
  return space;
}

}  // namespace

void OwnedConnections::add(const shm::Segment& segment, const ReplyAddress& address) noexcept {
  const auto record = shm::find_connection(segment, address);
  const uint32_t constants = record.ok() ? (*record)->constants.load(acquire) : 0;  // block + 1; a hint
  try {
    constants_.insert_or_assign(address, constants == 0 ? shm::kNoBlock : constants - 1);
  } catch (const std::bad_alloc&) {
  }
}

std::optional<OwnedConnections::Lost> OwnedConnections::take_lost(shm::ChannelLayer& layer) noexcept {
  if (constants_.empty()) return std::nullopt;
  const auto first = constants_.begin();
  const auto [address, block] = *first;
  constants_.erase(first);
  const ReplyChannelName name = ReplyChannelName::websocket_send(address);
  const uint32_t order = last_order(layer.segment(), address);
  try {
    Lost lost{address, with_constants(layer, block, name.view(), order)};
    if (lost.disconnect.empty()) lost.disconnect = bare(name.view(), order);
    return lost;
  } catch (const std::bad_alloc&) {
    return std::nullopt;  // no memory for another one either
  }
}

}  // namespace sluice
