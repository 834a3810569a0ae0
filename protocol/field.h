// protocol/field.h -- one row of a message table (http.h, websocket.h), and a message held against
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/message.h"

namespace sluice {

// One type or several: `Type::kText | Type::kBytes`.
class Types {
 public:
  constexpr Types(Type type) noexcept : bits_(1u << static_cast<unsigned>(type)) {}  // NOLINT
  [[nodiscard]] constexpr bool has(Type type) const noexcept {
    return (bits_ & (1u << static_cast<unsigned>(type))) != 0;
  }
  friend constexpr Types operator|(Types a, Types b) noexcept {
    Types both = a;
    both.bits_ |= b.bits_;
    return both;
  }

 private:
  uint32_t bits_;
};
constexpr Types operator|(Type a, Type b) noexcept { return Types(a) | Types(b); }

enum class Need : uint8_t {
  kAlways,    // there in every message
  kOptional,  // may be absent, or null, which is the same
};

// No limit of its own: the message's holds.
inline constexpr size_t kUnbounded = SIZE_MAX;

struct Field {
  std::string_view key;
  Types types;
  Need need = Need::kOptional;
  size_t limit = kUnbounded;  // bytes of text and bytes, values of a list, pairs of a map
};

// Why a message does not fit its table; `key` is the table's text, so it outlives the message.
struct WrongField {
  enum class Why : uint8_t { kMissing, kWrongType, kTooLarge };
  std::string_view key;
  Why why = Why::kMissing;
};
[[nodiscard]] std::string_view describe(WrongField::Why why) noexcept;

// The first field that is wrong, in the order of the table; nothing when all are right. Keys that
// are not in the table are passed over: what users add is theirs.
//
// The message may change after this was asked, where another process can write it. What is used
// must be copied out first, or be safe with any value.
[[nodiscard]] std::optional<WrongField> check(const MessageView& message,
                                              std::span<const Field> table) noexcept;

// The same, leaving each field's value, as it was when it was checked, in `values`: one for each
// row of the table; Type::kMalformed says absent.
[[nodiscard]] std::optional<WrongField> read(const MessageView& message,
                                             std::span<const Field> table,
                                             std::span<ValueView> values) noexcept;

}  // namespace sluice
