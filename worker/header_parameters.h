// worker/header_parameters.h -- `value; name=value; name*=charset'language'value`, as Django reads
// it in content types and in the headers of a multipart form's parts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

struct HeaderParameter {
  std::string name;   // lower case, ASCII
  std::string value;  // bytes; UTF-8 when `decoded`
  bool decoded = false;
};

struct HeaderParameters {
  enum class Outcome {
    kParsed,
    kIgnored,         // not ASCII where it must be, or a broken name*=: Django skips such a line
    kUnknownCharset,  // a name*= in a charset that is none of UTF-8, ISO 8859-1 and US-ASCII
  };
  Outcome outcome = Outcome::kParsed;
  std::string main;  // what stands before the first `;`, lower case, ASCII
  std::vector<HeaderParameter> parameters;

  // The last of that name; nullptr for none.
  [[nodiscard]] const HeaderParameter* find(std::string_view name) const noexcept;
};

[[nodiscard]] HeaderParameters parse_header_parameters(std::string_view line);

}  // namespace sluice
