// tests/unit/worker/upgrade_test.cc -- which handshakes are accepted, and why others are not; the digest that answers them.
#include "worker/upgrade.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "worker/handshake_digest.h"

namespace sluice {
namespace {

using Fields = std::vector<HeaderField>;

// The handshake of RFC 6455 section 1.2.
const Fields kPlain = {{"Host", "server.example.com"},
                       {"Upgrade", "websocket"},
                       {"Connection", "Upgrade"},
                       {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                       {"Sec-WebSocket-Version", "13"}};

Fields with(Fields fields, std::string_view name, std::string_view value) {
  for (HeaderField& field : fields) {
    if (field.name == name) {
      field.value = value;
      return fields;
    }
  }
  fields.push_back({name, value});
  return fields;
}

Fields without(Fields fields, std::string_view name) {
  std::erase_if(fields, [&](const HeaderField& field) { return field.name == name; });
  return fields;
}

Fields twice(Fields fields, std::string_view name, std::string_view value) {
  fields.push_back({name, value});
  return fields;
}

RequestHead head_with(const Fields& fields) {
  RequestHead head;
  head.method = "GET";
  head.target = head.raw_path = "/ws";
  head.authority = "server.example.com";
  head.headers = fields;
  return head;
}

HandshakeVerdict verdict_on(const RequestHead& head, DeflateMode mode = DeflateMode::kShared) {
  return check_handshake(head, {.deflate = mode, .origins = Origins()});
}
int status_of(const Fields& fields) { return verdict_on(head_with(fields)).status; }

TEST_CASE("the digest is SHA-1 in base64") {
  CHECK(sha1_base64("abc") == "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
  CHECK(sha1_base64("") == "2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
  CHECK(sha1_base64("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "hJg+RBw70m66rkqh+VEp5eVGcPE=");
  CHECK(handshake_accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("the handshake of RFC 6455 is accepted") {
  const HandshakeVerdict verdict = verdict_on(head_with(kPlain));

  CHECK(verdict.status == 101);
  REQUIRE(verdict.handshake);
  CHECK(verdict.handshake->accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(verdict.handshake->subprotocols.empty());
}

TEST_CASE("names and tokens are compared in any case, lists over several lines too") {
  Fields fields = {{"host", "x"},
                   {"UPGRADE", "h2c, WebSocket"},
                   {"connection", "keep-alive"},
                   {"Connection", ",\tHTTP2-Settings ,  uPGRADE,"},
                   {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="},
                   {"SEC-WEBSOCKET-VERSION", "13"}};

  CHECK(status_of(fields) == 101);
}

TEST_CASE("a token inside another word does not count") {
  CHECK(status_of(with(kPlain, "Upgrade", "websockets")) == 400);
  CHECK(status_of(with(kPlain, "Upgrade", "not websocket")) == 400);
  CHECK(status_of(with(kPlain, "Upgrade", "websocket/13")) == 400);
  CHECK(status_of(with(kPlain, "Connection", "no-upgrade")) == 400);
  CHECK(status_of(with(kPlain, "Connection", "close")) == 400);
  CHECK(status_of(with(kPlain, "Connection", "")) == 400);
}

TEST_CASE("without Upgrade, Connection or key there is no handshake") {
  CHECK(status_of(without(kPlain, "Upgrade")) == 400);
  CHECK(status_of(without(kPlain, "Connection")) == 400);
  CHECK(status_of(without(kPlain, "Sec-WebSocket-Key")) == 400);
}

TEST_CASE("a key is 16 bytes in base64, and there is one") {
  CHECK(status_of(with(kPlain, "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA+/==")) == 101);
  for (const std::string_view key :
       {"", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZ===", "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25jZQAA", "dGhlIHNhbXBsZSBub25j ZQ==", "dGhlIHNhbXBsZSBub2-jZQ==",
        "dGhlIHNhbXBsZSBub2_jZQ==", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZSBub25jZQ=="}) {
    CAPTURE(key);
    CHECK(status_of(with(kPlain, "Sec-WebSocket-Key", key)) == 400);
  }
  CHECK(status_of(twice(kPlain, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")) == 400);
}

TEST_CASE("another version, or none, is told which one we speak") {
  for (const Fields& fields :
       {with(kPlain, "Sec-WebSocket-Version", "8"), with(kPlain, "Sec-WebSocket-Version", "013"),
        with(kPlain, "Sec-WebSocket-Version", "13, 8"), without(kPlain, "Sec-WebSocket-Version"),
        twice(kPlain, "Sec-WebSocket-Version", "13")}) {
    const HandshakeVerdict verdict = verdict_on(head_with(fields));

    CHECK(verdict.status == 426);
    CHECK(verdict.extra.find("Sec-WebSocket-Version: 13\r\n") != std::string_view::npos);
    CHECK_FALSE(verdict.handshake);
  }
}

TEST_CASE("a handshake is a GET of HTTP/1.1 with a Host and without a body") {
  RequestHead post = head_with(kPlain);
  post.method = "POST";
  CHECK(verdict_on(post).status == 405);
  CHECK(verdict_on(post).extra == "Allow: GET\r\n");

  RequestHead old = head_with(kPlain);
  old.minor_version = 0;
  CHECK(verdict_on(old).status == 400);

  RequestHead nowhere = head_with(kPlain);
  nowhere.authority = "";
  CHECK(verdict_on(nowhere).status == 400);

  RequestHead with_length = head_with(kPlain);
  with_length.content_length = 5;
  CHECK(verdict_on(with_length).status == 400);

  RequestHead with_chunks = head_with(kPlain);
  with_chunks.chunked = true;
  CHECK(verdict_on(with_chunks).status == 400);

  RequestHead with_nothing = head_with(kPlain);
  with_nothing.content_length = 0;
  CHECK(verdict_on(with_nothing).status == 101);
}

TEST_CASE("sub-protocols are given in the order offered, over several lines too") {
  const Fields fields = twice(with(kPlain, "Sec-WebSocket-Protocol", "chat.v2 ,\tchat, "),
                              "sec-websocket-protocol", "graphql-ws");

  const HandshakeVerdict verdict = verdict_on(head_with(fields));

  REQUIRE(verdict.handshake);
  CHECK(verdict.handshake->subprotocols ==
        std::vector<std::string_view>{"chat.v2", "chat", "graphql-ws"});
}

TEST_CASE("a sub-protocol that is no token, or there twice, or one too many, is refused") {
  CHECK(status_of(with(kPlain, "Sec-WebSocket-Protocol", "ok, not ok")) == 400);
  CHECK(status_of(with(kPlain, "Sec-WebSocket-Protocol", "a/b")) == 400);
  CHECK(status_of(with(kPlain, "Sec-WebSocket-Protocol", "caf\xe9")) == 400);
  CHECK(status_of(with(kPlain, "Sec-WebSocket-Protocol", "chat, chat")) == 400);
  std::string most = "p0";
  for (size_t i = 1; i < limits::kSubprotocols; ++i) most += ",p" + std::to_string(i);
  CHECK(status_of(with(kPlain, "Sec-WebSocket-Protocol", most)) == 101);
  CHECK(status_of(with(kPlain, "Sec-WebSocket-Protocol", most + ",more")) == 400);
}

TEST_CASE("of the origins listed a handshake has one, or none at all") {
  Origins origins;
  origins.add("https://example.org");
  origins.add("same");
  const auto verdict = [&](const Fields& fields) {
    return check_handshake(head_with(fields), {.origins = origins, .own = {.host = "server.example.com"}});
  };
  const Fields good = with(kPlain, "Origin", "https://example.org");

  CHECK(verdict(kPlain).status == 101);
  CHECK(verdict(good).status == 101);
  CHECK(verdict(with(kPlain, "oRIGIN", "HTTPS://Example.org:443")).status == 101);
  CHECK(verdict(with(kPlain, "Origin", "https://server.example.com")).status == 101);
  for (const char* const bad : {"https://evil.test", "null", "", "example.org"}) {
    CAPTURE(bad);
    const HandshakeVerdict refused = verdict(with(kPlain, "Origin", bad));
    CHECK(refused.status == 403);
    CHECK(refused.origin == bad);
    CHECK(!refused.handshake);
    CHECK(status_of(with(kPlain, "Origin", bad)) == 101);  // where any may come
  }
  CHECK(verdict(twice(good, "Origin", "https://example.org")).status == 403);
  CHECK(verdict(twice(good, "Origin", "https://evil.test")).origin == "https://evil.test");
  CHECK(verdict(twice(with(kPlain, "Origin", "https://evil.test"), "Origin", "https://example.org")).origin ==
        "https://evil.test");
  CHECK(verdict(with(with(kPlain, "Origin", "null"), "Sec-WebSocket-Version", "8")).status == 426);
}

TEST_CASE("the answer says 101, the digest and what was chosen") {
  const Handshake handshake = {.accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", .subprotocols = {"chat"}, .deflate = {}};
  std::string out;

  write_switching(handshake, "chat", "Set-Cookie: a=b\r\n", out);

  CHECK(out ==
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        "Sec-WebSocket-Protocol: chat\r\nSet-Cookie: a=b\r\n\r\n");
}

TEST_CASE("a sub-protocol that would end its line early is left out of the answer") {
  const Handshake handshake = {.accept = "x", .subprotocols = {}, .deflate = {}};
  std::string chosen_none, forged;

  write_switching(handshake, "", "", chosen_none);
  write_switching(handshake, "chat\r\nSet-Cookie: a=b", "", forged);

  CHECK(forged == chosen_none);
  CHECK(forged.find("Protocol:") == std::string::npos);
}

}  // namespace
}  // namespace sluice
