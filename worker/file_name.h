// worker/file_name.h -- what a client calls a file, made as harmless as Django makes it.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// Character references of HTML 5 replaced, as Python's html.unescape does. `text` is UTF-8.
[[nodiscard]] std::string unescape_html(std::string_view text);

// Unescaped, then what follows the last `/` and the last `\`, cut to limits::kFileNameCharacters
// with its extension kept; "" for "", "." and "..". `name` is UTF-8.
[[nodiscard]] std::string sanitize_file_name(std::string_view name);

// Characters of UTF-8 text.
[[nodiscard]] size_t count_characters(std::string_view text) noexcept;

}  // namespace sluice
