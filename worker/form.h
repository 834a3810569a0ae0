// worker/form.h -- the fields and files of a form, parsed as Django does (messages.md, "POST").
//
// F1  Only the method POST, exactly; the content type compared without parameters, in lower case.
// F2  A form is whole or refused: on an error the message must not be sent.
// F3  Text is UTF-8, whatever charset the client names; what is not becomes U+FFFD.
#pragma once

#include <string_view>

#include "protocol/codec.h"

namespace sluice {

enum class FormKind : uint8_t { kNone, kUrlencoded, kMultipart };

// `content_type` as META has it, "" when absent.
[[nodiscard]] FormKind form_kind(std::string_view method, std::string_view content_type);

// Appends to an open map the keys POST, a list of [text, text], and FILES, a list of maps {name,
// filename, content_type, content}; both are empty for FormKind::kNone.
//   kFormMalformed  400: no boundary or a bad one, base64 of a file that is none, a name in a
//                   charset we do not know
//   kTooManyFields  400: beyond limits::kFormFields or kFormFiles
//   kFormTooLarge   413: beyond limits::kFormFieldsBytes
// After an error the encoder holds a beginning only: throw it away.
[[nodiscard]] Result<void> encode_form(FormKind kind, std::string_view content_type,
                                       std::string_view body, Encoder& encoder);

}  // namespace sluice
