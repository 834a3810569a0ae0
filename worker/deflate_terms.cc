// worker/deflate_terms.cc -- Sec-WebSocket-Extensions, read to the letter; see deflate_terms.h.
#include "worker/deflate_terms.h"

#include "worker/header_field.h"

namespace sluice {
namespace {

constexpr uint8_t kLeastWindowBits = 8;
constexpr uint8_t kMostWindowBits = 15;

// One parameter of an extension: a token, and perhaps a value, which is a token too, quoted or not.
struct Parameter {
  std::string_view name;
  std::optional<std::string_view> value;
};

std::optional<Parameter> read_parameter(std::string_view text) noexcept {
  const size_t equals = text.find('=');
  Parameter parameter{trim_blanks(text.substr(0, equals)), std::nullopt};
  if (!is_token(parameter.name)) return std::nullopt;
  if (equals == std::string_view::npos) return parameter;
  std::string_view value = trim_blanks(text.substr(equals + 1));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  if (!is_token(value)) return std::nullopt;
  parameter.value = value;
  return parameter;
}

// Calls `take` with each piece between semicolons behind the first, trimmed.
template <class Take>
void for_each_parameter(std::string_view extension, Take take) {
  for (size_t at = extension.find(';'); at != std::string_view::npos;) {
    const size_t next = extension.find(';', at + 1);
    const size_t size = next == std::string_view::npos ? next : next - at - 1;
    take(trim_blanks(extension.substr(at + 1, size)));
    at = next;
  }
}

std::string_view name_of(std::string_view extension) noexcept {
  return trim_blanks(extension.substr(0, extension.find(';')));
}

bool well_formed(std::string_view extension) noexcept {
  bool valid = is_token(name_of(extension));
  for_each_parameter(extension, [&](std::string_view text) { valid = valid && read_parameter(text).has_value(); });
  return valid;
}

// 8 to 15, without a leading zero.
std::optional<uint8_t> window_bits(std::string_view text) noexcept {
  if (text.empty() || text.size() > 2 || text.front() == '0') return std::nullopt;
  int bits = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    bits = bits * 10 + (c - '0');
  }
  if (bits < kLeastWindowBits || bits > kMostWindowBits) return std::nullopt;
  return static_cast<uint8_t>(bits);
}

// One offer, as its client wrote it.
class Offer {
 public:
  // False: passed over (T1).
  [[nodiscard]] bool take(const Parameter& parameter) noexcept {
    if (equals_lower(parameter.name, "server_no_context_takeover")) {
      return !parameter.value && mark(server_keeps_none_);
    }
    if (equals_lower(parameter.name, "client_no_context_takeover")) {
      return !parameter.value && mark(client_keeps_none_);
    }
    if (equals_lower(parameter.name, "client_max_window_bits")) {  // what it can do; any window will do for us
      return mark(client_bits_) && (!parameter.value || window_bits(*parameter.value));
    }
    if (equals_lower(parameter.name, "server_max_window_bits") && parameter.value) {
      const std::optional<uint8_t> bits = window_bits(*parameter.value);
      if (!bits || *bits == kLeastWindowBits || !mark(server_bits_)) return false;
      terms_.server_window_bits = *bits;
      return true;
    }
    return false;
  }

  [[nodiscard]] DeflateTerms terms(DeflateMode mode) const noexcept {
    DeflateTerms terms = terms_;
    terms.window_asked = server_bits_;
    terms.server_keeps_context = mode == DeflateMode::kOwn && !server_keeps_none_;
    terms.client_keeps_context = mode == DeflateMode::kOwn && !client_keeps_none_;
    return terms;
  }

 private:
  static bool mark(bool& seen) noexcept {
    const bool first = !seen;
    seen = true;
    return first;
  }

  DeflateTerms terms_;
  bool server_keeps_none_ = false;
  bool client_keeps_none_ = false;
  bool server_bits_ = false;
  bool client_bits_ = false;
};

std::optional<DeflateTerms> terms_of(std::string_view extension, DeflateMode mode) noexcept {
  if (!equals_lower(name_of(extension), "permessage-deflate")) return std::nullopt;
  Offer offer;
  bool kept = true;
  for_each_parameter(extension, [&](std::string_view text) {
    const std::optional<Parameter> parameter = read_parameter(text);
    kept = kept && parameter && offer.take(*parameter);
  });
  if (!kept) return std::nullopt;
  return offer.terms(mode);
}

}  // namespace

DeflateVerdict choose_deflate(const RequestHead& head, DeflateMode mode) noexcept {
  DeflateVerdict verdict;
  for (const HeaderField& field : head.headers) {
    if (!equals_lower(field.name, "sec-websocket-extensions")) continue;
    for_each_element(field.value, [&](std::string_view extension) {
      if (extension.empty()) return;  // counts for nothing, RFC 9110 section 5.6.1
      verdict.valid = verdict.valid && well_formed(extension);
      if (mode == DeflateMode::kOff || verdict.terms) return;
      verdict.terms = terms_of(extension, mode);
    });
  }
  return verdict;
}

void append_deflate_line(const DeflateTerms& terms, std::string& out) {
  out += "Sec-WebSocket-Extensions: permessage-deflate";
  if (!terms.server_keeps_context) out += "; server_no_context_takeover";
  if (!terms.client_keeps_context) out += "; client_no_context_takeover";
  if (terms.window_asked) {
    out += "; server_max_window_bits=" + std::to_string(terms.server_window_bits);
  }
  out += "\r\n";
}

}  // namespace sluice
