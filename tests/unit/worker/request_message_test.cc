// tests/unit/worker/request_message_test.cc -- the keys of http.request and what is made from its head.
#include "worker/request_message.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "protocol/message.h"

namespace sluice {
namespace {

const RequestSource kSource{.root_path = "",
                            .client_host = "192.0.2.7",
                            .client_port = 4711,
                            .server_host = "192.0.2.1",
                            .server_port = 8000};

RequestHead head_of(std::string_view method, std::span<const HeaderField> headers) {
  RequestHead head;
  head.method = method;
  head.target = "/a%20b?x=1&x=2";
  head.raw_path = "/a%20b";
  head.query = "x=1&x=2";
  head.authority = "example.org";
  head.headers = headers;
  return head;
}

struct Encoded {
  std::vector<std::byte> space = std::vector<std::byte>(64 * 1024);
  Bytes head;  // keys and values
  uint32_t elements = 0;
};

Encoded encode_head(const RequestHead& head, const RequestSource& source = kSource) {
  Encoded encoded;
  Encoder encoder(encoded.space);
  encoder.begin_map();
  REQUIRE(encode_request_head(encoder, head, source, "http.response.2-1!3.4.5").ok());
  encoded.elements = encoder.elements();
  encoder.end_map();
  encoded.head = encoder.finish()->subspan(kMapHeaderBytes);
  return encoded;
}

MessageView request_of(const Encoded& encoded, const RequestBody& body, std::vector<std::byte>& out) {
  out.resize(256 * 1024);
  const Result<Bytes> message = encode_request(out, encoded.head, encoded.elements, body);
  REQUIRE(message.ok());
  const Result<MessageView> parsed = MessageView::parse(*message);
  REQUIRE(parsed.ok());
  return *parsed;
}

TEST_CASE("a request has every core key under its name and with its type") {
  const HeaderField headers[] = {{"Host", "example.org"}, {"Cookie", "a=1; b=2"}, {"X-Y", "z"}};
  const Encoded encoded = encode_head(head_of("GET", headers));
  std::vector<std::byte> out;

  const MessageView message = request_of(encoded, {}, out);

  CHECK(message.find("GET")->type() == Type::kList);
  CHECK(message.find("GET")->size() == 2);
  CHECK(message.find("POST")->type() == Type::kList);
  CHECK(message.find("COOKIES")->type() == Type::kMap);
  CHECK(message.find("COOKIES")->find("b")->text() == "2");
  CHECK(message.find("META")->find("REQUEST_METHOD")->text() == "GET");
  CHECK(message.find("META")->find("HTTP_X_Y")->text() == "z");
  CHECK(message.find("META")->find("REMOTE_PORT")->text() == "4711");
  CHECK(message.text("path") == "/a b");
  CHECK(message.text("path_info") == "/a b");
  CHECK(message.text("method") == "GET");
  CHECK(message.text("response_channel") == "http.response.2-1!3.4.5");
}

TEST_CASE("a request has our own keys beside them") {
  const HeaderField headers[] = {{"Host", "example.org"}};
  RequestSource source = kSource;
  source.root_path = "/app";
  RequestHead head = head_of("GET", headers);
  head.raw_path = "/app/x";
  const Encoded encoded = encode_head(head, source);
  std::vector<std::byte> out;

  const MessageView message = request_of(encoded, {}, out);

  CHECK(as_text(message.bytes("raw_path")) == "/app/x");
  CHECK(as_text(message.bytes("query_string")) == "x=1&x=2");
  CHECK(message.text("scheme") == "http");
  CHECK(message.text("http_version") == "1.1");
  CHECK(message.text("root_path") == "/app");
  CHECK(message.text("path") == "/app/x");
  CHECK(message.text("path_info") == "/x");
  CHECK((*message.find("client")->begin()).text() == "192.0.2.7");
  CHECK((*message.find("server")->begin()).text() == "192.0.2.1");
  CHECK_FALSE(message.has("body"));
  CHECK_FALSE(message.has("more_content"));
}

TEST_CASE("a client that came over TLS asked by https or wss") {
  RequestSource source = kSource;
  source.secure = true;
  std::vector<std::byte> space(64 * 1024);
  const auto scheme_of = [&](const auto& encode) {
    Encoder encoder(space);
    encoder.begin_map();
    REQUIRE(encode(encoder).ok());
    encoder.end_map();
    const Result<Bytes> message = encoder.finish();
    REQUIRE(message.ok());
    const Result<MessageView> parsed = MessageView::parse(*message);
    REQUIRE(parsed.ok());
    return std::string(parsed->text("scheme"));
  };

  CHECK(scheme_of([&](Encoder& encoder) {
          return encode_request_head(encoder, head_of("GET", {}), source, "http.response.2-1!3.4.5");
        }) == "https");
  CHECK(scheme_of([&](Encoder& encoder) {
          return encode_websocket_head(encoder, head_of("GET", {}), source, "websocket.send.2-1!3.4", {});
        }) == "wss");
}

TEST_CASE("a body whole, a body that goes on, and a form") {
  const HeaderField headers[] = {{"Content-Type", "application/x-www-form-urlencoded"}};
  const Encoded encoded = encode_head(head_of("POST", headers));
  std::vector<std::byte> out;

  const MessageView whole = request_of(encoded, {.bytes = "a=1"}, out);
  CHECK(as_text(whole.bytes("body")) == "a=1");
  CHECK(whole.find("POST")->size() == 0);

  const MessageView more = request_of(encoded, {.body_channel = "http.request.body?x"}, out);
  CHECK(more.boolean("more_content"));
  CHECK(more.text("body_channel") == "http.request.body?x");

  const MessageView form = request_of(
      encoded,
      {.form = FormKind::kUrlencoded, .content_type = headers[0].value, .bytes = "a=1&b=2"}, out);
  CHECK(form.find("POST")->size() == 2);
  CHECK(as_text(form.bytes("body")) == "a=1&b=2");
}

TEST_CASE("a disconnect has the keys of its request and no body") {
  const HeaderField headers[] = {{"Host", "example.org"}};
  const Encoded encoded = encode_head(head_of("POST", headers));
  std::vector<std::byte> space(encoded.head.size() + kDisconnectKeysBytes);

  const Result<Bytes> message = encode_http_disconnect(space, encoded.head, encoded.elements);

  REQUIRE(message.ok());
  const Result<MessageView> parsed = MessageView::parse(*message);
  REQUIRE(parsed.ok());
  CHECK(parsed->text("response_channel") == "http.response.2-1!3.4.5");
  CHECK(parsed->find("POST")->size() == 0);
  CHECK_FALSE(parsed->has("body"));
}

TEST_CASE("a body chunk takes no more than its allowance, and the last says so") {
  const std::string content(60'000, 'x');
  std::vector<std::byte> space(content.size() + kChunkKeysBytes);

  const Result<Bytes> chunk = encode_body_chunk(space, as_bytes(content), false);

  REQUIRE(chunk.ok());
  const Result<MessageView> parsed = MessageView::parse(*chunk);
  REQUIRE(parsed.ok());
  CHECK(parsed->bytes("content").size() == content.size());
  CHECK(parsed->has("more_content"));
  CHECK_FALSE(parsed->boolean("more_content", true));
}

TEST_CASE("a message that does not fit its space is an error, never a piece of one") {
  const HeaderField headers[] = {{"Host", "example.org"}};
  const Encoded encoded = encode_head(head_of("GET", headers));
  std::vector<std::byte> space(encoded.head.size());

  const Result<Bytes> message = encode_request(space, encoded.head, encoded.elements, {});

  REQUIRE_FALSE(message.ok());
  CHECK(message.error() == Error::kMessageTooLarge);
}

TEST_CASE("a WebSocket's head offers its sub-protocols and its reply channel") {
  const HeaderField headers[] = {{"Host", "example.org"}};
  const std::string_view offered[] = {"chat", "superchat"};
  std::vector<std::byte> space(8192);
  Encoder encoder(space);
  encoder.begin_map();
  REQUIRE(encode_websocket_head(encoder, head_of("GET", headers), kSource, "websocket.send.2-1!3.4",
                                offered)
              .ok());
  encoder.end_map();

  const Result<MessageView> message = MessageView::parse(*encoder.finish());

  REQUIRE(message.ok());
  CHECK(message->text("reply_channel") == "websocket.send.2-1!3.4");
  CHECK(message->text("scheme") == "ws");
  CHECK(message->find("subprotocols")->size() == 2);
  CHECK_FALSE(message->has("response_channel"));
  CHECK_FALSE(message->has("method"));
}

}  // namespace
}  // namespace sluice
