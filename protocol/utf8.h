// protocol/utf8.h -- which bytes may be called text.
#pragma once

#include <string_view>

namespace sluice {

// As RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF.
[[nodiscard]] bool valid_utf8(std::string_view text) noexcept;
[[nodiscard]] bool is_ascii(std::string_view text) noexcept;

}  // namespace sluice
