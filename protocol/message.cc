// protocol/message.cc -- building a message field by field, and viewing one in place.
#include "protocol/message.h"

namespace sluice {

Result<MessageView> MessageView::parse(Bytes bytes) noexcept {
  const ValueView value(bytes);
  if (value.type() != Type::kMap) return Error::kMessageMalformed;
  if (value.strict_size() != bytes.size()) return Error::kMessageMalformed;
  MessageView view;
  view.bytes_ = bytes;
  view.map_ = value;
  return view;
}

std::string_view MessageView::text(std::string_view key, std::string_view fallback) const noexcept {
  const auto value = find(key);
  return value ? value->text().value_or(fallback) : fallback;
}

Bytes MessageView::bytes(std::string_view key) const noexcept {
  const auto value = find(key);
  return value ? value->bytes().value_or(Bytes{}) : Bytes{};
}

Bytes MessageView::text_or_bytes(std::string_view key) const noexcept {
  const auto value = find(key);
  return value ? value->text_or_bytes().value_or(Bytes{}) : Bytes{};
}

int64_t MessageView::integer(std::string_view key, int64_t fallback) const noexcept {
  const auto value = find(key);
  return value ? value->integer().value_or(fallback) : fallback;
}

bool MessageView::boolean(std::string_view key, bool fallback) const noexcept {
  const auto value = find(key);
  return value ? value->boolean().value_or(fallback) : fallback;
}

namespace {

// Encodes one held alternative. Nesting is bounded by the Encoder, whose depth CHECK is for us: the
// fields of a message to be sent are built by the code that sends it.
struct EncodeHeld {
  Encoder& encoder;
  void operator()(std::nullptr_t) const noexcept { encoder.null(); }
  void operator()(bool value) const noexcept { encoder.boolean(value); }
  void operator()(int64_t value) const noexcept { encoder.integer(value); }
  void operator()(std::string_view value) const noexcept { encoder.text(value); }
  void operator()(Bytes value) const noexcept { encoder.bytes(value); }
  void operator()(std::span<const Value> values) const noexcept {
    encoder.begin_list();
    for (const Value& value : values) std::visit(*this, value.held);
    encoder.end_list();
  }
  void operator()(std::span<const Pair> pairs) const noexcept { encode(encoder, pairs); }
};

}  // namespace

void encode(Encoder& encoder, std::span<const Pair> fields) noexcept {
  encoder.begin_map();
  for (const Pair& pair : fields) {
    encoder.key(pair.key);
    std::visit(EncodeHeld{encoder}, pair.value.held);
  }
  encoder.end_map();
}

}  // namespace sluice
