// protocol/field.cc -- a message held against its table.
#include "protocol/field.h"

namespace sluice {
namespace {

// The size a limit is about.
size_t extent(const ValueView& value, Type type) noexcept {
  if (type == Type::kList || type == Type::kMap) return value.size();
  return value.text_or_bytes().value_or(Bytes{}).size();
}

std::optional<WrongField> check_value(const Field& field, const ValueView& value) noexcept {
  const Type type = value.type();
  if (!field.types.has(type)) return WrongField{field.key, WrongField::Why::kWrongType};
  if (field.limit != kUnbounded && extent(value, type) > field.limit) {
    return WrongField{field.key, WrongField::Why::kTooLarge};
  }
  return std::nullopt;
}

}  // namespace

std::string_view describe(WrongField::Why why) noexcept {
  switch (why) {
    case WrongField::Why::kMissing:
      return "missing";
    case WrongField::Why::kWrongType:
      return "of the wrong type";
    case WrongField::Why::kTooLarge:
      return "too large";
  }
  return "wrong";
}

std::optional<WrongField> read(const MessageView& message, std::span<const Field> table,
                               std::span<ValueView> values) noexcept {
  CHECK(values.size() == table.size());
  for (ValueView& value : values) value = ValueView{};
  const ValueView map = message.map();
  for (auto at = map.begin(); at != map.end();) {
    const std::string_view key = (*at).text().value_or(std::string_view{});
    ++at;
    if (at == map.end()) break;
    const ValueView value = *at;
    ++at;
    for (size_t row = 0; row < table.size(); ++row) {
      if (table[row].key != key) continue;
      if (values[row].type() == Type::kMalformed) values[row] = value;  // the first counts
      break;
    }
  }
  for (size_t row = 0; row < table.size(); ++row) {
    const Field& field = table[row];
    const Type type = values[row].type();
    if (field.need == Need::kOptional && type == Type::kNull) values[row] = ValueView{};
    if (field.need == Need::kOptional && (type == Type::kNull || type == Type::kMalformed))
      continue;
    if (type == Type::kMalformed) return WrongField{field.key, WrongField::Why::kMissing};
    if (const auto wrong = check_value(field, values[row])) return wrong;
  }
  return std::nullopt;
}

std::optional<WrongField> check(const MessageView& message, std::span<const Field> table) noexcept {
  for (const Field& field : table) {
    const std::optional<ValueView> value = message.find(field.key);
    const bool none = !value || value->type() == Type::kNull;
    if (none && field.need == Need::kOptional) continue;
    if (!value) return WrongField{field.key, WrongField::Why::kMissing};
    if (const auto wrong = check_value(field, *value)) return wrong;
  }
  return std::nullopt;
}

}  // namespace sluice
