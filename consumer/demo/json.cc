// consumer/demo/json.cc -- see json.h.
#include "consumer/demo/json.h"

#include <charconv>

namespace sluice::demo {

Json& Json::key(std::string_view name) {
  text(name);
  out_ += ':';
  first_ = true;
  return *this;
}

Json& Json::text(std::string_view value) {
  comma();
  out_ += '"';
  for (const char c : value) character(static_cast<unsigned char>(c));
  out_ += '"';
  return *this;
}

Json& Json::latin1(Bytes value) {
  comma();
  out_ += '"';
  for (const std::byte byte : value) {
    const auto c = std::to_integer<unsigned char>(byte);
    if (c < 0x80) {
      character(c);
    } else {
      out_ += static_cast<char>(0xc0 | c >> 6);
      out_ += static_cast<char>(0x80 | (c & 0x3f));
    }
  }
  out_ += '"';
  return *this;
}

Json& Json::integer(int64_t value) {
  comma();
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out_.append(digits, end);
  return *this;
}

Json& Json::boolean(bool value) {
  comma();
  out_ += value ? "true" : "false";
  return *this;
}

Json& Json::null() {
  comma();
  out_ += "null";
  return *this;
}

Json& Json::value(const ValueView& value) {
  switch (value.type()) {
    case Type::kBoolean:
      return boolean(value.boolean().value_or(false));
    case Type::kInteger:
      return integer(value.integer().value_or(0));
    case Type::kText:
      return text(value.text().value_or(""));
    case Type::kBytes:
      return latin1(value.bytes().value_or(Bytes{}));
    case Type::kList:
      begin_array();
      for (const ValueView element : value) this->value(element);
      return end_array();
    case Type::kMap: {
      begin_object();
      bool is_key = true;
      for (const ValueView element : value) {
        if (is_key) {
          key(element.text().value_or(""));
        } else {
          this->value(element);
        }
        is_key = !is_key;
      }
      return end_object();
    }
    default:
      return null();
  }
}

Json& Json::open(char bracket) {
  comma();
  out_ += bracket;
  first_ = true;
  return *this;
}

Json& Json::close(char bracket) {
  out_ += bracket;
  first_ = false;
  return *this;
}

void Json::comma() {
  if (!first_) out_ += ',';
  first_ = false;
}

void Json::character(unsigned char c) {
  constexpr char kHex[] = "0123456789abcdef";
  if (c == '"' || c == '\\') {
    out_ += '\\';
    out_ += static_cast<char>(c);
  } else if (c < 0x20 || c == 0x7f) {
    out_ += "\\u00";
    out_ += kHex[c >> 4];
    out_ += kHex[c & 15];
  } else {
    out_ += static_cast<char>(c);
  }
}

}  // namespace sluice::demo
