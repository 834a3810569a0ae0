// protocol/value_view.cc -- the MessagePack we read, in place.
//
// V1  Every tag and length is loaded once, checked against the end of the bytes, then used: what
//     another process writes meanwhile gives wrong values, never a read outside.
// V2  Nil, booleans, integers that fit int64, text, bytes, lists and maps of any width. Floats and
//     extension types are malformed: no message has them.
// V3  Work is bounded by the bytes there are, not by the lengths they claim; nothing recurses.
#include <type_traits>

#include "protocol/big_endian.h"
#include "protocol/codec.h"

namespace sluice {
namespace {

// Reads memory that may change: once. The empty asm makes the register the only place the value can
// come from, so the compiler cannot read it again between a check and its use.
template <class T>
T load_once(const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  asm("" : "+r"(value));
  return big_endian(value);
}

// Where a value begins: what it is, how long its own bytes are, how many values follow inside.
struct Head {
  Type type = Type::kMalformed;
  size_t size = 0;        // tag, length and payload; of a container, tag and count only
  size_t payload = 0;     // where text or bytes begin
  uint64_t children = 0;  // of a container: values inside, keys included
  int64_t number = 0;     // of an integer or boolean
};

constexpr Head kBad{};

template <class T>
Head sized(Type type, const std::byte* at, size_t left) noexcept {
  if (left < 1 + sizeof(T)) return kBad;
  const size_t length = load_once<T>(at + 1);
  if (length > left - 1 - sizeof(T)) return kBad;
  return {type, 1 + sizeof(T) + length, 1 + sizeof(T), 0, 0};
}

template <class T>
Head counted(Type type, uint64_t per_element, const std::byte* at, size_t left) noexcept {
  if (left < 1 + sizeof(T)) return kBad;
  const uint64_t children = load_once<T>(at + 1) * per_element;
  if (children > left - 1 - sizeof(T)) return kBad;  // each child takes a byte at least
  return {type, 1 + sizeof(T), 0, children, 0};
}

template <class T>
Head number(const std::byte* at, size_t left) noexcept {
  if (left < 1 + sizeof(T)) return kBad;
  const T value = static_cast<T>(load_once<std::make_unsigned_t<T>>(at + 1));
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (value > static_cast<uint64_t>(INT64_MAX)) return kBad;
  }
  return {Type::kInteger, 1 + sizeof(T), 0, 0, static_cast<int64_t>(value)};
}

// Never reads at or past `left`, whatever the bytes are and whenever they change.
Head head_of(const std::byte* at, size_t left) noexcept {
  if (left == 0) return kBad;
  const uint32_t tag = load_once<uint8_t>(at);
  if (tag < 0x80) return {Type::kInteger, 1, 0, 0, static_cast<int64_t>(tag)};
  if (tag < 0xa0) {
    const uint64_t children = tag < 0x90 ? (tag & 15) * 2 : tag & 15;
    if (children > left - 1) return kBad;
    return {tag < 0x90 ? Type::kMap : Type::kList, 1, 0, children, 0};
  }
  if (tag < 0xc0) {
    const size_t length = tag & 31;
    if (length > left - 1) return kBad;
    return {Type::kText, 1 + length, 1, 0, 0};
  }
  if (tag >= 0xe0) return {Type::kInteger, 1, 0, 0, static_cast<int64_t>(tag) - 256};
  switch (tag) {
    case 0xc0:
      return {Type::kNull, 1, 0, 0, 0};
    case 0xc2:
      return {Type::kBoolean, 1, 0, 0, 0};
    case 0xc3:
      return {Type::kBoolean, 1, 0, 0, 1};
    case 0xc4:
      return sized<uint8_t>(Type::kBytes, at, left);
    case 0xc5:
      return sized<uint16_t>(Type::kBytes, at, left);
    case 0xc6:
      return sized<uint32_t>(Type::kBytes, at, left);
    case 0xcc:
      return number<uint8_t>(at, left);
    case 0xcd:
      return number<uint16_t>(at, left);
    case 0xce:
      return number<uint32_t>(at, left);
    case 0xcf:
      return number<uint64_t>(at, left);
    case 0xd0:
      return number<int8_t>(at, left);
    case 0xd1:
      return number<int16_t>(at, left);
    case 0xd2:
      return number<int32_t>(at, left);
    case 0xd3:
      return number<int64_t>(at, left);
    case 0xd9:
      return sized<uint8_t>(Type::kText, at, left);
    case 0xda:
      return sized<uint16_t>(Type::kText, at, left);
    case 0xdb:
      return sized<uint32_t>(Type::kText, at, left);
    case 0xdc:
      return counted<uint16_t>(Type::kList, 1, at, left);
    case 0xdd:
      return counted<uint32_t>(Type::kList, 1, at, left);
    case 0xde:
      return counted<uint16_t>(Type::kMap, 2, at, left);
    case 0xdf:
      return counted<uint32_t>(Type::kMap, 2, at, left);
    default:
      return kBad;
  }
}

// Bytes the value at the front takes, 0 when it is not whole: a stack of counts, no recursion.
// With kStrict also: map keys are text, text is UTF-8.
template <bool kStrict>
size_t measure(Bytes bytes) noexcept {
  struct Level {
    uint64_t left;
    bool map;
  };
  Level levels[ValueView::kMaxDepth + 1];
  levels[0] = {1, false};
  uint32_t depth = 0;
  size_t used = 0;
  for (;;) {
    Level& level = levels[depth];
    if (level.left == 0) {
      if (depth == 0) return used;
      --depth;
      continue;
    }
    const size_t rest = bytes.size() - used;
    if (rest == 0) return 0;
    // Short text is most of what there is, keys above all; it takes a short way.
    if (const uint32_t tag = load_once<uint8_t>(bytes.data() + used); (tag & 0xe0) == 0xa0) {
      const size_t length = tag & 31;
      if (length >= rest) return 0;
      if (kStrict && !valid_utf8(as_text(bytes.subspan(used + 1, length)))) return 0;
      --level.left;
      used += 1 + length;
      continue;
    }
    const Head head = head_of(bytes.data() + used, rest);
    if (head.type == Type::kMalformed) return 0;
    if constexpr (kStrict) {
      const bool is_key = level.map && level.left % 2 == 0;
      if (is_key && head.type != Type::kText) return 0;
      if (head.type == Type::kText &&
          !valid_utf8(as_text(bytes.subspan(used + head.payload, head.size - head.payload)))) {
        return 0;
      }
    }
    --level.left;
    used += head.size;
    if (head.type == Type::kList || head.type == Type::kMap) {
      if (++depth > ValueView::kMaxDepth) return 0;
      levels[depth] = {head.children, head.type == Type::kMap};
    }
  }
}

}  // namespace

std::string_view name_of(Type type) noexcept {
  switch (type) {
    case Type::kMalformed:
      return "malformed";
    case Type::kNull:
      return "null";
    case Type::kBoolean:
      return "boolean";
    case Type::kInteger:
      return "integer";
    case Type::kText:
      return "text";
    case Type::kBytes:
      return "bytes";
    case Type::kList:
      return "list";
    case Type::kMap:
      return "map";
  }
  return "unknown";
}

Type ValueView::type() const noexcept { return head_of(bytes_.data(), bytes_.size()).type; }

std::optional<bool> ValueView::boolean() const noexcept {
  const Head head = head_of(bytes_.data(), bytes_.size());
  if (head.type != Type::kBoolean) return std::nullopt;
  return head.number != 0;
}

std::optional<int64_t> ValueView::integer() const noexcept {
  const Head head = head_of(bytes_.data(), bytes_.size());
  if (head.type != Type::kInteger) return std::nullopt;
  return head.number;
}

std::optional<std::string_view> ValueView::text() const noexcept {
  const Head head = head_of(bytes_.data(), bytes_.size());
  if (head.type != Type::kText) return std::nullopt;
  return as_text(bytes_.subspan(head.payload, head.size - head.payload));
}

std::optional<Bytes> ValueView::bytes() const noexcept {
  const Head head = head_of(bytes_.data(), bytes_.size());
  if (head.type != Type::kBytes) return std::nullopt;
  return bytes_.subspan(head.payload, head.size - head.payload);
}

std::optional<Bytes> ValueView::text_or_bytes() const noexcept {
  const Head head = head_of(bytes_.data(), bytes_.size());
  if (head.type != Type::kBytes && head.type != Type::kText) return std::nullopt;
  return bytes_.subspan(head.payload, head.size - head.payload);
}

ValueView::Iterator& ValueView::Iterator::operator++() noexcept {
  if (left_ <= 1) {
    left_ = 0;
    return *this;
  }
  const size_t size = measure<false>(rest_);
  rest_ = rest_.subspan(size);
  left_ = size == 0 ? 0 : left_ - 1;
  return *this;
}

ValueView::Iterator ValueView::begin() const noexcept {
  const Head head = head_of(bytes_.data(), bytes_.size());
  if (head.type != Type::kList && head.type != Type::kMap) return {};
  if (head.children > UINT32_MAX) return {};
  return {bytes_.subspan(head.size), static_cast<uint32_t>(head.children)};
}

uint32_t ValueView::size() const noexcept {
  const Head head = head_of(bytes_.data(), bytes_.size());
  if (head.type == Type::kMap) return static_cast<uint32_t>(head.children / 2);
  if (head.type == Type::kList) return static_cast<uint32_t>(head.children);
  return 0;
}

std::optional<ValueView> ValueView::find(std::string_view name) const noexcept {
  const Head map = head_of(bytes_.data(), bytes_.size());
  if (map.type != Type::kMap) return std::nullopt;
  Bytes rest = bytes_.subspan(map.size);
  for (uint64_t left = map.children; left > 0; left -= 2) {
    const Head key = head_of(rest.data(), rest.size());
    if (key.type == Type::kMalformed) return std::nullopt;
    const bool found = key.type == Type::kText && key.size - key.payload == name.size() &&
                       std::memcmp(rest.data() + key.payload, name.data(), name.size()) == 0;
    const size_t key_size = key.type == Type::kText ? key.size : measure<false>(rest);
    if (key_size == 0) return std::nullopt;
    rest = rest.subspan(key_size);
    if (found) {
      if (head_of(rest.data(), rest.size()).type == Type::kMalformed) return std::nullopt;
      return ValueView(rest);
    }
    const size_t value_size = measure<false>(rest);
    if (value_size == 0) return std::nullopt;
    rest = rest.subspan(value_size);
  }
  return std::nullopt;
}

size_t ValueView::encoded_size() const noexcept { return measure<false>(bytes_); }

size_t ValueView::strict_size() const noexcept { return measure<true>(bytes_); }

}  // namespace sluice
