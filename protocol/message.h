// protocol/message.h -- building a message field by field, and viewing one in place.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "protocol/codec.h"

namespace sluice {

// A whole message in place: a map with text keys.
class MessageView {
 public:
  MessageView() noexcept = default;
  // Checks everything once: one map, exactly the given bytes, text keys (of nested maps too), valid
  // UTF-8 in text, depth. Of two fields with one key, the first counts.
  [[nodiscard]] static Result<MessageView> parse(Bytes bytes) noexcept;

  [[nodiscard]] std::optional<ValueView> find(std::string_view key) const noexcept {
    return map_.find(key);
  }
  [[nodiscard]] bool has(std::string_view key) const noexcept { return find(key).has_value(); }
  // The value of `key`, or the fallback where it is absent or of another type.
  [[nodiscard]] std::string_view text(std::string_view key,
                                      std::string_view fallback = {}) const noexcept;
  [[nodiscard]] Bytes bytes(std::string_view key) const noexcept;
  [[nodiscard]] Bytes text_or_bytes(std::string_view key) const noexcept;
  [[nodiscard]] int64_t integer(std::string_view key, int64_t fallback = 0) const noexcept;
  [[nodiscard]] bool boolean(std::string_view key, bool fallback = false) const noexcept;

  [[nodiscard]] ValueView map() const noexcept { return map_; }
  [[nodiscard]] Bytes encoded() const noexcept { return bytes_; }

 private:
  Bytes bytes_{};
  ValueView map_{};
};

// A value to be sent: views only, so what it names must live until it is encoded.
struct Pair;
struct Value {
  Value() noexcept : held(nullptr) {}
  Value(std::nullptr_t) noexcept : held(nullptr) {}
  Value(bool value) noexcept : held(value) {}
  template <std::integral T>
  Value(T value) noexcept : held(static_cast<int64_t>(value)) {}
  Value(const char* value) noexcept : held(std::string_view(value)) {}
  Value(std::string_view value) noexcept : held(value) {}
  Value(const std::string& value) noexcept : held(std::string_view(value)) {}
  Value(Bytes value) noexcept : held(value) {}
  Value(std::span<const Value> value) noexcept : held(value) {}
  Value(std::span<const Pair> value) noexcept : held(value) {}
  std::variant<std::nullptr_t, bool, int64_t, std::string_view, Bytes, std::span<const Value>,
               std::span<const Pair>>
      held;
};
struct Pair {
  std::string_view key;
  Value value;
};

// The fields of a message to be sent: {{"status_code", 200}, {"content", "Hello"}}.
using Fields = std::initializer_list<Pair>;
void encode(Encoder& encoder, std::span<const Pair> fields) noexcept;
inline void encode(Encoder& encoder, Fields fields) noexcept {
  encode(encoder, std::span(fields.begin(), fields.size()));
}

}  // namespace sluice
