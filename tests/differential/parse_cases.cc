// tests/differential/parse_cases.cc -- gives bytes to the worker's parsers and prints what they
// made of them, for comparison with another implementation.
//
// Reads cases on standard input, writes as many results on standard output. Both are MessagePack
// maps, each behind its length in 4 bytes, big-endian.
//   {kind: "query",  query}                      -> {GET}
//   {kind: "cookie", headers}                    -> {COOKIES}
//   {kind: "form",   method, content_type, body} -> {POST, FILES}
//   {kind: "head",   method, script_name, raw_path, query, headers}
//                                                -> {META, path, path_info, headers}
//   {kind: "request", bytes, root_path, step}    -> {messages, answers}
// and {error: text} where a parser refuses. Inputs are bytes; headers is a list of [name, value].
// The bytes of a request, fed in pieces of `step` bytes (0: whole), go all the way: session, message;
// `answers` are those of the gateway's own, by status.
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/limits.h"
#include "protocol/message.h"
#include "tests/cases/runner/session_messages.h"
#include "worker/cookie.h"
#include "worker/form.h"
#include "worker/meta.h"
#include "worker/query.h"

namespace sluice {
namespace {

std::string_view field(const MessageView& message, std::string_view key) {
  return as_text(message.text_or_bytes(key));
}

std::vector<HeaderField> headers_of(const MessageView& message) {
  std::vector<HeaderField> headers;
  const auto list = message.find("headers");
  CHECK(list && list->type() == Type::kList);
  for (const ValueView pair : *list) {
    const auto name = pair.begin();
    const auto value = std::next(name);
    headers.push_back({as_text((*name).bytes().value()), as_text((*value).bytes().value())});
  }
  return headers;
}

void encode_request_of(const MessageView& message, Encoder& encoder) {
  constexpr HttpLimits kLimits{limits::kHeadBytes, limits::kHeaderLineBytes, limits::kHeaderFields,
                               limits::kBodyBytes};
  cases::SessionMessages made(kLimits, std::string(field(message, "root_path")));
  HttpSession session(made, kLimits);
  const std::string_view bytes = field(message, "bytes");
  const auto step = static_cast<size_t>(message.integer("step"));
  const size_t piece = step == 0 ? bytes.size() : step;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const std::string_view next = bytes.substr(at, piece);
    CHECK(session.feed(as_bytes(next)) == next.size());
  }
  CHECK(made.broken().empty());
  encoder.key("messages").begin_list();
  for (const std::string& each : made.messages()) encoder.raw(as_bytes(each), 1);
  encoder.end_list().key("answers").begin_list();
  for (const std::string& each : made.answers()) encoder.integer(std::stoi(each.substr(9, 3)));
  encoder.end_list();
}

Result<void> parse_case(const MessageView& message, Encoder& encoder) {
  const std::string_view kind = field(message, "kind");
  encoder.begin_map();
  if (kind == "query") {
    encoder.key("GET");
    if (const auto done = encode_query(field(message, "query"), encoder); !done) return done;
  } else if (kind == "cookie") {
    encoder.key("COOKIES");
    encode_cookies(headers_of(message), encoder);
  } else if (kind == "form") {
    const std::string_view type = field(message, "content_type");
    const FormKind form = form_kind(field(message, "method"), type);
    if (const auto done = encode_form(form, type, field(message, "body"), encoder); !done) {
      return done;
    }
  } else if (kind == "head") {
    const std::vector<HeaderField> headers = headers_of(message);
    const std::string_view script_name = field(message, "script_name");
    std::string scratch;
    MetaSource source;
    source.method = field(message, "method");
    source.script_name = script_name;
    source.path_info = path_info_of(decode_path(field(message, "raw_path"), scratch), script_name);
    source.query_string = field(message, "query");
    source.server_name = "example.org";
    source.server_port = "8000";
    source.protocol = "HTTP/1.1";
    source.remote_addr = "192.0.2.7";
    source.remote_port = "50123";
    source.headers = headers;
    encoder.key("META");
    encode_meta(source, encoder);
    encoder.key("path");
    encode_path(script_name, source.path_info, encoder);
    encoder.key("path_info").text(source.path_info);
    encoder.key("headers");
    encode_headers(headers, encoder);
  } else if (kind == "request") {
    encode_request_of(message, encoder);
  } else {
    constexpr bool kKnownKind = false;
    CHECK(kKnownKind);
  }
  encoder.end_map();
  return {};
}

std::string result_of(Bytes input) {
  const auto message = MessageView::parse(input);
  CHECK(message.ok());
  // Too small at first, so that starting again in a larger space is part of what is compared.
  for (size_t size = input.size() / 2 + 64;; size *= 2) {
    std::string space(size, '\0');
    Encoder encoder(std::as_writable_bytes(std::span(space.data(), space.size())));
    const Result<void> done = parse_case(*message, encoder);
    if (!done) {
      Encoder refusal(std::as_writable_bytes(std::span(space.data(), space.size())));
      encode(refusal, {{"error", describe(done.error())}});
      return std::string(as_text(refusal.finish().value()));
    }
    const Result<Bytes> encoded = encoder.finish();
    if (!encoded) continue;
    CHECK(MessageView::parse(*encoded).ok());
    return std::string(as_text(*encoded));
  }
}

bool read_exactly(void* to, size_t size) { return std::fread(to, 1, size, stdin) == size; }

int run() {
  std::string input;
  for (uint8_t length[4]; read_exactly(length, sizeof length);) {
    input.resize(size_t{length[0]} << 24 | size_t{length[1]} << 16 | size_t{length[2]} << 8 |
                 length[3]);
    CHECK(read_exactly(input.data(), input.size()));
    const std::string result = result_of(as_bytes(input));
    for (size_t i = 0; i < 4; ++i) length[i] = static_cast<uint8_t>(result.size() >> (24 - 8 * i));
    std::fwrite(length, 1, sizeof length, stdout);
    std::fwrite(result.data(), 1, result.size(), stdout);
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace sluice

int main() { return sluice::run(); }
