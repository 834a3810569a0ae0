// worker/white_space.h -- white space as Python's str.strip and bytes.strip see it, which is what
// decides where Django's names and values end.
#pragma once

#include <string_view>

namespace sluice {

// Without white space at both ends; `text` is UTF-8, and Unicode's white space counts.
[[nodiscard]] std::string_view strip_text(std::string_view text) noexcept;
// Space, tab, CR, LF, VT and FF only.
[[nodiscard]] std::string_view strip_bytes(std::string_view bytes) noexcept;

}  // namespace sluice
