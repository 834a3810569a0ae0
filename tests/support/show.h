// tests/support/show.h -- a message as one line, so that a test can say what it expects in one.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include "protocol/codec.h"

namespace sluice::test {

// Text stands in double quotes, bytes in <>; maps and lists as in JSON. Nothing is escaped.
inline std::string show(const ValueView& value) {
  switch (value.type()) {
    case Type::kText:
      return '"' + std::string(*value.text()) + '"';
    case Type::kBytes:
      return '<' + std::string(as_text(*value.bytes())) + '>';
    case Type::kInteger:
      return std::to_string(*value.integer());
    case Type::kBoolean:
      return *value.boolean() ? "true" : "false";
    case Type::kNull:
      return "null";
    case Type::kMalformed:
      return "malformed";
    case Type::kList:
    case Type::kMap:
      break;
  }
  const bool map = value.type() == Type::kMap;
  std::string out(1, map ? '{' : '[');
  size_t index = 0;
  for (const ValueView inner : value) {
    if (index > 0) out += map && index % 2 == 1 ? ":" : ",";
    out += show(inner);
    ++index;
  }
  return out + (map ? '}' : ']');
}

// What `write` puts into an Encoder with room enough, as one line; a refusal as "error: <words>".
template <class Write>
std::string shown(Write write) {
  std::string space(1 << 20, '\0');
  Encoder encoder(std::as_writable_bytes(std::span<char>(space.data(), space.size())));
  if constexpr (std::is_void_v<decltype(write(encoder))>) {
    write(encoder);
  } else {
    const Result<void> done = write(encoder);
    if (!done) return "error: " + std::string(describe(done.error()));
  }
  const Result<Bytes> bytes = encoder.finish();
  if (!bytes) return "error: " + std::string(describe(bytes.error()));
  const ValueView value(*bytes);
  return value.strict_size() == bytes->size() ? show(value) : "not one whole value";
}

}  // namespace sluice::test
