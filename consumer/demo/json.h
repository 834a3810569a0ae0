// consumer/demo/json.h -- writes JSON; enough for what the demo says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/codec.h"

namespace sluice::demo {

// Appends to a string that its owner may keep for the next time. Commas are seen to.
class Json {
 public:
  explicit Json(std::string& out) : out_(out) {}

  Json& begin_object() { return open('{'); }
  Json& end_object() { return close('}'); }
  Json& begin_array() { return open('['); }
  Json& end_array() { return close(']'); }
  Json& key(std::string_view name);
  Json& text(std::string_view value);  // valid UTF-8
  Json& latin1(Bytes value);           // each byte a character
  Json& integer(int64_t value);
  Json& boolean(bool value);
  Json& null();
  Json& value(const ValueView& value);  // of a message; bytes as latin1

 private:
  Json& open(char bracket);
  Json& close(char bracket);
  void comma();
  void character(unsigned char c);

  std::string& out_;
  bool first_ = true;  // of the innermost array or object, or after a key
};

}  // namespace sluice::demo
