// consumer/demo/query.h -- query variables of a message, in place.
#pragma once

#include <charconv>
#include <string_view>

#include "protocol/message.h"

namespace sluice::demo {

// The first query variable of that name; "" when there is none.
[[nodiscard]] inline std::string_view query_value(const MessageView& fields,
                                                  std::string_view name) {
  const auto variables = fields.find("GET");
  if (!variables) return {};
  for (const ValueView variable : *variables) {
    auto part = variable.begin();
    if (variable.size() != 2 || (*part).text() != name) continue;
    return (*++part).text().value_or("");
  }
  return {};
}

// As a number in its bounds; the fallback when it is none.
[[nodiscard]] inline uint32_t query_number(const MessageView& fields, std::string_view name,
                                           uint32_t fallback, uint32_t most) {
  const std::string_view text = query_value(fields, name);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return fallback;
  return number < most ? number : most;
}

}  // namespace sluice::demo
