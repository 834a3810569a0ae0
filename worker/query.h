// worker/query.h -- query strings and urlencoded forms, parsed as Django's QueryDict does
// (messages.md, "GET"). Bytes in, fields out: no state, no allocation.
//
// G1  The whole is UTF-8 or, where it is not, ISO 8859-1 as a whole.
// G2  `&` separates, empty pieces are skipped; the first `=` splits, none means the value "".
// G3  `+` is a space, then %XX is decoded once; a malformed escape stays as it is. Bytes that
// escapes
//     give and that are not UTF-8 become U+FFFD.
#pragma once

#include <string_view>

#include "protocol/codec.h"

namespace sluice {

// Appends a list of [text, text] in the order of arrival, duplicates kept. kTooManyFields, and then
// nothing is appended, for more than limits::kFormFields, empty pieces counted. Where the encoder
// is too small it says so itself.
[[nodiscard]] Result<void> encode_query(std::string_view query, Encoder& encoder) noexcept;

}  // namespace sluice
