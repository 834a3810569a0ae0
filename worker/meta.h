// worker/meta.h -- a head as Django's request.META, request.path and request.path_info have it
// (messages.md, "META" and "path"). Bytes in, fields out: no state.
//
// M1  Names that hold `_` are dropped before `-` becomes `_` (CVE-2015-0219), and `Proxy`
// (httpoxy). M2  Fields of one name are joined in order, by `,`; Cookie by `; `. M3  All of it is
// UTF-8, whatever the head was: values are read as ISO 8859-1.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "protocol/codec.h"
#include "worker/header_field.h"

namespace sluice {

struct MetaSource {
  std::string_view method;
  std::string_view script_name;   // UTF-8, "" for none
  std::string_view path_info;     // UTF-8: what path_info_of() gave
  std::string_view query_string;  // as sent
  std::string_view server_name;
  std::string_view server_port;  // decimal
  std::string_view protocol;     // "HTTP/1.1"
  std::string_view remote_addr;
  std::string_view remote_port;  // decimal
  std::span<const HeaderField> headers;
};

// Appends the map META. No allocation.
void encode_meta(const MetaSource& source, Encoder& encoder) noexcept;

// Appends a list of [bytes, bytes]: names in lower case, values untouched, duplicates kept.
void encode_headers(std::span<const HeaderField> headers, Encoder& encoder) noexcept;

// The path of a target, percent-decoded once; bytes that are not UTF-8 then are escaped again.
// Gives `raw_path` itself where there is nothing to decode, else a view of `scratch`.
[[nodiscard]] std::string_view decode_path(std::string_view raw_path, std::string& scratch);

// What of a decoded path lies below `script_name`; the whole where it does not lie below it; "/"
// for nothing.
[[nodiscard]] std::string_view path_info_of(std::string_view decoded_path,
                                            std::string_view script_name) noexcept;

// Appends request.path: the root path, one slash, path_info without its first slash.
void encode_path(std::string_view script_name, std::string_view path_info,
                 Encoder& encoder) noexcept;

}  // namespace sluice
