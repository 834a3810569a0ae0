// worker/cookie.h -- cookies, parsed as Django's parse_cookie does (messages.md, "COOKIES").
//
// K1  The header is UTF-8; what is not becomes U+FFFD (Django under WSGI).
// K2  Chunks end at `;`, split at the first `=`; none means the name "". Both are stripped of white
//     space, Unicode's included; a chunk that is empty twice is skipped. A later name wins.
// K3  A value that begins and ends with `"` is unquoted: \ooo (first digit 0 to 3) and \x.
#pragma once

#include <span>
#include <string_view>

#include "protocol/codec.h"
#include "worker/header_field.h"

namespace sluice {

// Appends a map text -> text. Allocates only past 32 cookies and for bytes that are not UTF-8.
void encode_cookies(std::string_view header, Encoder& encoder) noexcept;

// The same from all the Cookie fields of a head, joined by `; `.
void encode_cookies(std::span<const HeaderField> headers, Encoder& encoder) noexcept;

}  // namespace sluice
