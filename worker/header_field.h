// worker/header_field.h -- one header line, as views into the bytes it came in.
#pragma once

#include <string_view>

namespace sluice {

struct HeaderField {
  std::string_view name;   // as sent
  std::string_view value;  // surrounding white space removed
};

}  // namespace sluice
