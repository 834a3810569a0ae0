// worker/request_message.cc -- the keys in their order; the rules behind them are in query, cookie, meta
// and form. See request_message.h.
#include "worker/request_message.h"

#include <charconv>

#include "worker/cookie.h"
#include "worker/header_name.h"
#include "worker/meta.h"
#include "worker/query.h"

namespace sluice {
namespace {

struct Decimal {
  explicit Decimal(uint16_t number) noexcept
      : size(static_cast<size_t>(std::to_chars(digits, digits + sizeof digits, number).ptr - digits)) {}
  [[nodiscard]] std::string_view view() const noexcept { return {digits, size}; }
  char digits[8];
  size_t size;
};

// SERVER_NAME and SERVER_PORT as Django has them: of the source, not of the Host field.
Result<void> encode_common(Encoder& encoder, const RequestHead& head, const RequestSource& source) {
  encoder.key("GET");
  if (const Result<void> query = encode_query(head.query, encoder); !query.ok()) return query.error();
  encoder.key("COOKIES");
  encode_cookies(head.headers, encoder);

  static thread_local std::string scratch;  // for one call
  const std::string_view path_info =
      path_info_of(decode_path(head.raw_path, scratch), source.root_path);
  const Decimal server_port(source.server_port);
  const Decimal client_port(source.client_port);
  const MetaSource meta{
      .method = head.method,
      .script_name = source.root_path,
      .path_info = path_info,
      .query_string = head.query,
      .server_name = source.server_host,
      .server_port = server_port.view(),
      .protocol = head.minor_version == 0 ? "HTTP/1.0" : "HTTP/1.1",
      .remote_addr = source.client_host,
      .remote_port = client_port.view(),
      .headers = head.headers,
  };
  encoder.key("META");
  encode_meta(meta, encoder);
  encoder.key("path");
  encode_path(source.root_path, path_info, encoder);
  encoder.key("path_info").text(path_info);
  encoder.key("headers");
  encode_headers(head.headers, encoder);
  encoder.key("raw_path").bytes(as_bytes(head.raw_path));
  encoder.key("query_string").bytes(as_bytes(head.query));
  encoder.key("http_version").text(head.minor_version == 0 ? "1.0" : "1.1");
  encoder.key("client");
  if (source.client_host.empty()) {
    encoder.null();
  } else {
    encoder.begin_list().text(source.client_host).integer(source.client_port).end_list();
  }
  encoder.key("server").begin_list().text(source.server_host);
  if (source.server_port == 0) {
    encoder.null();
  } else {
    encoder.integer(source.server_port);
  }
  encoder.end_list();
  encoder.key("root_path").text(source.root_path);
  return {};
}

}  // namespace

std::string_view content_type_of(const RequestHead& head) noexcept {
  for (const HeaderField& field : head.headers) {
    if (same_header_name(field.name, "content-type")) return field.value;
  }
  return {};
}

size_t expected_head_bytes(const RequestHead& head) noexcept {
  size_t fields = 0;
  for (const HeaderField& field : head.headers) {
    fields += 2 * (field.name.size() + field.value.size()) + 16;
  }
  return 640 + 5 * head.target.size() + fields;
}

Result<void> encode_request_head(Encoder& encoder, const RequestHead& head, const RequestSource& source,
                                 std::string_view response_channel) {
  encoder.key("method").text(head.method);
  encoder.key("response_channel").text(response_channel);
  encoder.key("scheme").text(source.secure ? "https" : "http");
  return encode_common(encoder, head, source);
}

Result<void> encode_websocket_head(Encoder& encoder, const RequestHead& head, const RequestSource& source,
                                   std::string_view reply_channel,
                                   std::span<const std::string_view> subprotocols) {
  encoder.key("reply_channel").text(reply_channel);
  encoder.key("scheme").text(source.secure ? "wss" : "ws");
  encoder.key("subprotocols").begin_list();
  for (const std::string_view offered : subprotocols) encoder.text(offered);
  encoder.end_list();
  return encode_common(encoder, head, source);
}

Result<void> encode_request_body(Encoder& encoder, const RequestBody& body) {
  if (const Result<void> form = encode_form(body.form, body.content_type, body.bytes, encoder);
      !form.ok()) {
    return form.error();
  }
  if (body.form != FormKind::kNone && body.bytes.size() > limits::kInlineBodyBytes) return {};
  if (!body.bytes.empty()) encoder.key("body").bytes(as_bytes(body.bytes));
  if (!body.body_channel.empty()) {
    encoder.key("body_channel").text(body.body_channel);
    encoder.key("more_content").boolean(true);
  }
  return {};
}

Result<Bytes> encode_request(std::span<std::byte> space, Bytes head, uint32_t head_elements,
                             const RequestBody& body) {
  Encoder encoder(space);
  encoder.begin_map().raw(head, head_elements);
  if (const Result<void> rest = encode_request_body(encoder, body); !rest.ok()) return rest.error();
  encoder.end_map();
  return encoder.finish();
}

Result<Bytes> encode_http_disconnect(std::span<std::byte> space, Bytes head, uint32_t head_elements) {
  return encode_request(space, head, head_elements, {});
}

Result<Bytes> encode_body_chunk(std::span<std::byte> space, Bytes content, bool more) {
  Encoder encoder(space);
  encoder.begin_map();
  encoder.key("content").bytes(content);
  encoder.key("more_content").boolean(more);
  encoder.end_map();
  return encoder.finish();
}

}  // namespace sluice
