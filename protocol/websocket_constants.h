// protocol/websocket_constants.h -- the keys of a WebSocket that never change, encoded once, and the
// messages made of them (decisions.md 10, 22). The master uses it too, for workers that died.
//
// A constants block holds a map of the constant keys at the beginning of its message space and room
// for kDisconnectTailBytes behind it. So the disconnect can be sent in that very block: its own keys are
// added at the end, then the count in the map's header is set, and a reader of the block finds either
// the constants alone or the whole disconnect, wherever its writer died.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "protocol/codec.h"

namespace sluice {

// code, reason (at most limits::kCloseReasonBytes) and order, with their keys.
inline constexpr size_t kDisconnectTailBytes = 192;

// The constant keys within a block's message space; nothing when it does not hold such a map.
struct Constants {
  Bytes keys;             // behind the map's header, up to `code` where a disconnect was begun
  uint32_t elements = 0;  // keys and values counted apart
};
[[nodiscard]] std::optional<Constants> find_constants(Bytes space) noexcept;

// The most a receive's or connect's own keys add to its content and the constants.
inline constexpr size_t kReceiveKeysBytes = 64;

// websocket.connect: the constants and order 0.
[[nodiscard]] Result<Bytes> encode_connect(std::span<std::byte> space, const Constants& constants) noexcept;
// websocket.receive: the constants, content, binary and order. Text is valid UTF-8, the session checked.
[[nodiscard]] Result<Bytes> encode_receive(std::span<std::byte> space, const Constants& constants,
                                           Bytes content, bool binary, uint32_t order) noexcept;
// websocket.disconnect: the constants, code, reason and order. `space` may begin with the constants
// themselves: then only the tail is written. A reason that is not UTF-8 or too long is left out.
[[nodiscard]] Result<Bytes> encode_disconnect(std::span<std::byte> space, const Constants& constants,
                                              uint16_t code, std::string_view reason,
                                              uint32_t order) noexcept;

}  // namespace sluice
