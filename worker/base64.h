// worker/base64.h -- base64 as Python's binascii reads it when it is not strict.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// Bytes outside the alphabet are skipped; padding ends the text. False where the last quad is cut
// short without its padding.
[[nodiscard]] bool decode_base64(std::string_view text, std::string& out);

}  // namespace sluice
