// protocol/websocket_constants.cc -- a map's header, the constants, a tail; see websocket_constants.h.
#include "protocol/websocket_constants.h"

#include <atomic>
#include <cstring>

#include "protocol/limits.h"
#include "protocol/message.h"

namespace sluice {
namespace {

constexpr std::byte kMap16{0xde};
constexpr std::string_view kFirstOfTail = "code";

void set_pairs(std::span<std::byte> space, uint32_t pairs) noexcept {
  space[1] = static_cast<std::byte>(pairs >> 8);
  space[2] = static_cast<std::byte>(pairs & 0xff);
}

}  // namespace

std::optional<Constants> find_constants(Bytes space) noexcept {
  if (space.size() < kMapHeaderBytes || space[0] != kMap16) return std::nullopt;
  const ValueView map(space);
  const size_t whole = map.encoded_size();
  if (whole < kMapHeaderBytes) return std::nullopt;
  Constants constants{.keys = space.subspan(kMapHeaderBytes, whole - kMapHeaderBytes),
                      .elements = map.size() * 2};
  // A disconnect that was begun: its keys are the last three.
  size_t before = 0;
  uint32_t element = 0;
  for (const ValueView value : map) {
    if (element % 2 == 0 && value.text() == kFirstOfTail) {
      constants = {constants.keys.first(before), element};
      break;
    }
    before += value.encoded_size();
    ++element;
  }
  return constants;
}

Result<Bytes> encode_connect(std::span<std::byte> space, const Constants& constants) noexcept {
  Encoder encoder(space);
  encoder.begin_map().raw(constants.keys, constants.elements);
  encoder.key("order").integer(0);
  encoder.end_map();
  return encoder.finish();
}

Result<Bytes> encode_receive(std::span<std::byte> space, const Constants& constants, Bytes content,
                             bool binary, uint32_t order) noexcept {
  Encoder encoder(space);
  encoder.begin_map().raw(constants.keys, constants.elements);
  encoder.key("content");
  if (binary) {
    encoder.bytes(content);
  } else {
    encoder.text(as_text(content));
  }
  encoder.key("binary").boolean(binary);
  encoder.key("order").integer(order);
  encoder.end_map();
  return encoder.finish();
}

Result<Bytes> encode_disconnect(std::span<std::byte> space, const Constants& constants, uint16_t code,
                                std::string_view reason, uint32_t order) noexcept {
  const size_t before = kMapHeaderBytes + constants.keys.size();
  if (space.size() < before) return Error::kMessageTooLarge;
  if (constants.keys.data() != space.data() + kMapHeaderBytes) {
    space[0] = kMap16;
    set_pairs(space, constants.elements / 2);
    std::memmove(space.data() + kMapHeaderBytes, constants.keys.data(), constants.keys.size());
  }
  if (reason.size() > limits::kCloseReasonBytes || !valid_utf8(reason)) reason = {};
  Encoder tail(space.subspan(before));
  tail.key(kFirstOfTail).integer(code);
  tail.key("reason").text(reason);
  tail.key("order").integer(order);
  const Result<Bytes> written = tail.finish();
  if (!written.ok()) return written.error();
  std::atomic_signal_fence(std::memory_order_release);  // the tail is whole before it counts
  set_pairs(space, (constants.elements + tail.elements()) / 2);
  return Bytes(space.first(before + written->size()));
}

}  // namespace sluice
