// worker/query.cc -- query strings and urlencoded forms, parsed as Django's QueryDict does.
#include "worker/query.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "protocol/limits.h"
#include "worker/percent.h"
#include "worker/text_writer.h"

namespace sluice {
namespace {

// A bit in each byte of `word` that is `byte`; above the lowest of them there may be others.
constexpr uint64_t bytes_that_are(uint64_t word, uint8_t byte) noexcept {
  const uint64_t differs = word ^ 0x0101010101010101u * byte;
  return (differs - 0x0101010101010101u) & ~differs & 0x8080808080808080u;
}

// How many bytes from `at` on stand for themselves: no escape, no `+`, and of ISO 8859-1 only ASCII.
size_t plain_run(std::string_view piece, size_t at, bool latin1) noexcept {
  const uint64_t beyond_ascii = latin1 ? 0x8080808080808080u : 0;
  const size_t begin = at;
  for (uint64_t word = 0; at + sizeof word <= piece.size(); at += sizeof word) {
    std::memcpy(&word, piece.data() + at, sizeof word);  // the first byte is the lowest
    const uint64_t special = (word & beyond_ascii) | bytes_that_are(word, '%') | bytes_that_are(word, '+');
    if (special != 0) return at - begin + static_cast<size_t>(std::countr_zero(special)) / 8;
  }
  for (; at < piece.size(); ++at) {
    const char c = piece[at];
    if (c == '%' || c == '+' || (latin1 && static_cast<uint8_t>(c) >= 0x80)) break;
  }
  return at - begin;
}

// What escapes had begun ends with the first byte that is none.
void encode_half(std::string_view half, bool latin1, Encoder& encoder) noexcept {
  size_t at = plain_run(half, 0, latin1);
  if (at == half.size()) {
    encoder.text(half);  // G1: UTF-8 as a whole, and cut at ASCII
    return;
  }
  // An escape of 3 bytes gives one; at worst that becomes the 3 bytes of U+FFFD. A byte above ASCII
  // gives at most 2.
  TextWriter writer(encoder, latin1 ? half.size() * 2 : half.size());
  writer.put(half.substr(0, at));
  while (at < half.size()) {
    const auto byte = static_cast<uint8_t>(half[at]);
    if (byte == '%') {
      const int value = percent_escape(half, at);
      writer.octet(value < 0 ? byte : static_cast<uint8_t>(value));
      at += value < 0 ? 1 : 3;
    } else if (byte == '+') {
      writer.octet(' ');
      ++at;
    } else if (latin1 && byte >= 0x80) {
      writer.end_run();
      writer.latin1(byte);
      ++at;
    } else {
      const size_t run = plain_run(half, at, latin1);
      writer.end_run();
      writer.put(half.substr(at, run));
      at += run;
    }
  }
  writer.end();
}

}  // namespace

Result<void> encode_query(std::string_view query, Encoder& encoder) noexcept {
  size_t fields = 1;
  for (size_t at = query.find('&'); at != std::string_view::npos; at = query.find('&', at + 1)) {
    if (++fields > limits::kFormFields) return Error::kTooManyFields;
  }
  const bool latin1 = !valid_utf8(query);  // G1

  encoder.begin_list();
  for (size_t at = 0; at < query.size();) {
    const std::string_view field = query.substr(at, query.find('&', at) - at);  // to the end without one
    at += field.size() + 1;
    if (field.empty()) continue;
    const size_t split = std::min(field.find('='), field.size());
    encoder.begin_list();
    encode_half(field.substr(0, split), latin1, encoder);
    encode_half(field.substr(std::min(split + 1, field.size())), latin1, encoder);
    encoder.end_list();
  }
  encoder.end_list();
  return {};
}

}  // namespace sluice
