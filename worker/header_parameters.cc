// worker/header_parameters.cc -- `value; name=value; name*=charset'language'value`, as Django reads
// it.
#include "worker/header_parameters.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "worker/header_name.h"
#include "worker/percent.h"
#include "worker/text_writer.h"
#include "worker/white_space.h"

namespace sluice {
namespace {

enum class Charset { kUtf8, kLatin1, kAscii };

// By the names Python knows them under.
std::optional<Charset> find_charset(std::string_view name) {
  std::string plain;
  bool apart = false;  // what is neither letter nor digit only sets pieces apart
  for (const char c : name) {
    const char low = lower_case(c);
    const bool counts = (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9');
    if (counts && apart && !plain.empty()) plain.push_back('_');
    if (counts) plain.push_back(low);
    apart = !counts;
  }
  constexpr std::array<std::string_view, 4> kUtf8 = {"utf_8", "utf8", "u8", "utf"};
  constexpr std::array<std::string_view, 9> kLatin1 = {
      "iso_8859_1", "iso8859_1", "iso8859", "latin_1", "latin1", "latin", "l1", "8859", "cp819"};
  constexpr std::array<std::string_view, 4> kAscii = {"us_ascii", "ascii", "646", "us"};
  if (std::find(kUtf8.begin(), kUtf8.end(), plain) != kUtf8.end()) return Charset::kUtf8;
  if (std::find(kLatin1.begin(), kLatin1.end(), plain) != kLatin1.end()) return Charset::kLatin1;
  if (std::find(kAscii.begin(), kAscii.end(), plain) != kAscii.end()) return Charset::kAscii;
  return std::nullopt;
}

// Python's unquote(value, charset). `value` is UTF-8.
std::string unquote(std::string_view value, Charset charset) {
  std::string room(value.size() * 3 + 8, '\0');
  Encoder encoder(std::as_writable_bytes(std::span(room.data(), room.size())));
  TextWriter writer(encoder, value.size() * 3);
  for (size_t at = 0; at < value.size(); ++at) {
    const int escape = percent_escape(value, at);
    const auto byte = static_cast<uint8_t>(escape < 0 ? value[at] : static_cast<char>(escape));
    if (escape >= 0) at += 2;
    if (escape < 0 && byte >= 0x80) {
      writer.end_run();
      writer.put(static_cast<char>(byte));
    } else if (charset == Charset::kUtf8) {
      writer.octet(byte);
    } else if (charset == Charset::kAscii && byte >= 0x80) {
      writer.put(TextWriter::kReplacement);
    } else {
      writer.latin1(byte);
    }
  }
  writer.end();
  const Bytes encoded = as_bytes(std::string_view(room.data(), encoder.size()));
  return std::string(ValueView(encoded).text().value_or(std::string_view{}));
}

void replace_all(std::string& text, std::string_view what, char with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    text.replace(at, what.size(), 1, with);
  }
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower_case);
  return out;
}

// What ends at the first `;` that no odd number of `"` stands before.
std::string_view take_piece(std::string_view& rest) noexcept {
  bool quoted = false;
  size_t end = 0;
  for (; end < rest.size() && (quoted || rest[end] != ';'); ++end) {
    if (rest[end] == '"') quoted = !quoted;
  }
  const std::string_view piece = strip_bytes(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return piece;
}

using Outcome = HeaderParameters::Outcome;

Outcome parse_parameter(std::string_view piece, size_t equals, HeaderParameter& parameter) {
  parameter.name = lower(strip_bytes(piece.substr(0, equals)));
  if (!is_ascii(parameter.name)) return Outcome::kIgnored;
  bool extended = false;
  if (parameter.name.ends_with('*')) {
    parameter.name.pop_back();
    extended = std::count(piece.begin(), piece.end(), '\'') == 2;
  }
  std::string& value = parameter.value;
  value = strip_bytes(piece.substr(equals + 1));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
    replace_all(value, "\\\\", '\\');
    replace_all(value, "\\\"", '"');
  }
  if (!extended) return Outcome::kParsed;

  if (std::count(value.begin(), value.end(), '\'') != 2) return Outcome::kIgnored;
  const size_t charset_end = value.find('\'');
  const std::string text = value.substr(value.rfind('\'') + 1);
  const std::string charset_name = value.substr(0, charset_end);
  if (!valid_utf8(text) || !valid_utf8(charset_name)) return Outcome::kIgnored;
  parameter.decoded = true;
  if (text.find('%') == std::string::npos) {
    value = text;
    return Outcome::kParsed;
  }
  const auto charset = find_charset(charset_name);
  if (!charset) return Outcome::kUnknownCharset;
  value = unquote(text, *charset);
  return Outcome::kParsed;
}

}  // namespace

const HeaderParameter* HeaderParameters::find(std::string_view name) const noexcept {
  const auto found = std::find_if(parameters.rbegin(), parameters.rend(),
                                  [&](const HeaderParameter& each) { return each.name == name; });
  return found == parameters.rend() ? nullptr : &*found;
}

HeaderParameters parse_header_parameters(std::string_view line) {
  HeaderParameters header;
  std::string_view rest = line;
  header.main = lower(take_piece(rest));
  if (!is_ascii(header.main)) {
    header.outcome = Outcome::kIgnored;
    return header;
  }
  while (!rest.empty()) {
    const std::string_view piece = take_piece(rest);
    const size_t equals = piece.find('=');
    if (equals == std::string_view::npos) continue;
    HeaderParameter parameter;
    header.outcome = parse_parameter(piece, equals, parameter);
    if (header.outcome != Outcome::kParsed) return header;
    header.parameters.push_back(std::move(parameter));
  }
  return header;
}

}  // namespace sluice
