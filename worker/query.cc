// worker/query.cc -- query strings and urlencoded forms, parsed as Django's QueryDict does.
#include "worker/query.h"

#include <algorithm>
#include <cstring>

#include "protocol/limits.h"
#include "worker/percent.h"
#include "worker/text_writer.h"

namespace sluice {
namespace {

enum class Charset : uint8_t { kAscii, kUtf8, kLatin1 };

// Escapes are decoded within a run of ASCII: a byte above it ends what they had begun.
void encode_escaped(std::string_view piece, Charset charset, Encoder& encoder) noexcept {
  // An escape of 3 bytes gives one; at worst that becomes the 3 bytes of U+FFFD. A byte above ASCII
  // gives at most 2.
  TextWriter writer(encoder, charset == Charset::kLatin1 ? piece.size() * 2 : piece.size());
  for (size_t at = 0; at < piece.size(); ++at) {
    const char c = piece[at];
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x80) {
      writer.end_run();
      charset == Charset::kLatin1 ? writer.latin1(byte) : writer.put(c);
    } else if (c == '%') {
      const int value = percent_escape(piece, at);
      writer.octet(value < 0 ? byte : static_cast<uint8_t>(value));
      if (value >= 0) at += 2;
    } else {
      writer.octet(c == '+' ? uint8_t{' '} : byte);
    }
  }
  writer.end();
}

void encode_half(std::string_view half, bool escaped, Charset charset, Encoder& encoder) noexcept {
  if (escaped || charset == Charset::kLatin1) {
    encode_escaped(half, charset, encoder);
  } else {
    encoder.text(half);  // G1: UTF-8 as a whole, and cut at ASCII
  }
}

}  // namespace

Result<void> encode_query(std::string_view query, Encoder& encoder) noexcept {
  const bool some = !query.empty();
  const auto separators = static_cast<size_t>(std::count(query.begin(), query.end(), '&'));
  if (some && 1 + separators > limits::kFormFields) return Error::kTooManyFields;
  Charset charset = Charset::kAscii;
  if (!is_ascii(query)) charset = valid_utf8(query) ? Charset::kUtf8 : Charset::kLatin1;

  encoder.begin_list();
  for (size_t at = 0; at < query.size();) {
    const size_t begin = at;
    size_t split = std::string_view::npos;  // the first `=`
    bool escaped[2] = {false, false};       // left and right of it
    for (; at < query.size() && query[at] != '&'; ++at) {
      const char c = query[at];
      const bool right = split != std::string_view::npos;
      if (c == '=' && !right) split = at;
      if (c == '%' || c == '+') escaped[right] = true;
    }
    const size_t end = at;
    ++at;
    if (end == begin) continue;
    const bool valued = split != std::string_view::npos;
    encoder.begin_list();
    encode_half(query.substr(begin, (valued ? split : end) - begin), escaped[0], charset, encoder);
    if (valued) {
      encode_half(query.substr(split + 1, end - split - 1), escaped[1], charset, encoder);
    } else {
      encoder.text({});
    }
    encoder.end_list();
  }
  encoder.end_list();
  return {};
}

}  // namespace sluice
