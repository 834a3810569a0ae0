// tests/unit/worker/forwarded_test.cc -- who the client is by what trusted proxies say, and by what it
// makes up itself.
#include "worker/forwarded.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "protocol/limits.h"

using namespace sluice;

namespace {

Networks trusted() {
  Networks all;
  for (const char* const text : {"10.0.0.0/8", "2001:db8:1::/48"}) all.add(text);
  return all;
}

// client port scheme host server-port; - for what is unsaid.
std::string said(const std::vector<HeaderField>& headers) {
  const Forwarded all = read_forwarded(headers, trusted());
  std::string text = "-";
  if (all.client.address.known()) {
    text = IpText(all.client.address).view();
    text.append(":").append(std::to_string(all.client.port));
  }
  constexpr const char* kSchemes[] = {" -", " http", " https"};
  text += kSchemes[static_cast<size_t>(all.scheme)];
  text.append(" ").append(all.host.empty() ? "-" : all.host);
  return text.append(" ").append(all.server_port == 0 ? "-" : std::to_string(all.server_port));
}

std::string said_for(std::string_view list) {
  return said({{"Host", "x"}, {"X-Forwarded-For", list}});
}
std::string said_by(std::string_view forwarded) { return said({{"Forwarded", forwarded}}); }

TEST_CASE("without a word of theirs nothing is said") {
  CHECK(said({}) == "- - - -");
  CHECK(said({{"Host", "x"}, {"X-Forwarded", "1.2.3.4"}, {"X_Forwarded_For", "1.2.3.4"},
              {"X-Forwarded-Fox", "1.2.3.4"}, {"X-Real-IP", "1.2.3.4"}, {"Forwardee", "for=1.2.3.4"}}) ==
        "- - - -");
}

TEST_CASE("the client is the first from the right that is no trusted proxy") {
  CHECK(said_for("192.0.2.7") == "192.0.2.7:0 - - -");
  CHECK(said_for("192.0.2.7, 10.0.0.1") == "192.0.2.7:0 - - -");
  CHECK(said_for("192.0.2.7,10.0.0.1,2001:db8:1::5,10.9.9.9") == "192.0.2.7:0 - - -");
  CHECK(said_for("2001:db8::7") == "2001:db8::7:0 - - -");
  // What the client made up stands to the left of what a proxy saw.
  CHECK(said_for("1.1.1.1, 192.0.2.7") == "192.0.2.7:0 - - -");
  CHECK(said_for("10.0.0.5, 192.0.2.7, 10.0.0.1") == "192.0.2.7:0 - - -");
  CHECK(said_for("127.0.0.1, 192.0.2.7") == "192.0.2.7:0 - - -");
}

TEST_CASE("where all are trusted the client is the last one") {
  CHECK(said_for("10.0.0.9, 10.0.0.8") == "10.0.0.9:0 - - -");
  CHECK(said_for("::ffff:10.0.0.9, 10.0.0.8") == "10.0.0.9:0 - - -");
}

TEST_CASE("several lines are one list, in their order") {
  CHECK(said({{"X-Forwarded-For", "1.1.1.1"}, {"A", "b"}, {"x-forwarded-for", "192.0.2.7, 10.0.0.1"},
              {"X-FORWARDED-FOR", "10.0.0.2"}}) == "192.0.2.7:0 - - -");
  std::vector<HeaderField> many(100, {"X-Forwarded-For", "9.9.9.9"});
  many.push_back({"X-Forwarded-For", "192.0.2.7"});
  CHECK(said(many) == "192.0.2.7:0 - - -");
}

TEST_CASE("ports are taken off, and told") {
  CHECK(said_for("192.0.2.7:55") == "192.0.2.7:55 - - -");
  CHECK(said_for("[2001:db8::7]:55, 10.0.0.1:4711") == "2001:db8::7:55 - - -");
  CHECK(said_for("[2001:db8::7], [2001:db8:1::1]") == "2001:db8::7:0 - - -");
}

TEST_CASE("what is no address ends the way at the last one before it") {
  for (const char* const garbage :
       {"unknown", "", " ", "_x", "1.2.3", "1.2.3.4.5", "1.2.3.4:99999", "fe80::1%eth0", "<script>", "unix:",
        "1.2.3.4 5.6.7.8", "\"1.2.3.4\"", "[1.2.3.4]", "localhost", "999.1.1.1", "1.2.3.4;", "\xff"}) {
    CAPTURE(garbage);
    CHECK(said_for(garbage) == "- - - -");
    CHECK(said_for("1.1.1.1, " + std::string(garbage)) == "- - - -");
    CHECK(said_for("1.1.1.1, " + std::string(garbage) + ", 10.0.0.1") == "10.0.0.1:0 - - -");
    CHECK(said_for(std::string(garbage) + ", 192.0.2.7, 10.0.0.1") == "192.0.2.7:0 - - -");
  }
  CHECK(said_for(",,,,") == "- - - -");
  CHECK(said_for("1.1.1.1,") == "- - - -");
  // A line of nothing behind the client's own does not bring that back.
  CHECK(said({{"X-Forwarded-For", "1.1.1.1"}, {"X-Forwarded-For", ""}}) == "- - - -");
}

TEST_CASE("a way too long ends where the bound is") {
  std::string list = "192.0.2.7";
  for (size_t i = 0; i < limits::kForwardedHops - 1; ++i) list += ", 10.0.0.1";
  CHECK(said_for(list) == "192.0.2.7:0 - - -");
  CHECK(said_for(list + ", 10.0.0.2") == "10.0.0.1:0 - - -");
  std::string huge;
  for (int i = 0; i < 100'000; ++i) huge += "10.0.0.3,";
  CHECK(said_for(huge + "10.0.0.2") == "10.0.0.3:0 - - -");
}

TEST_CASE("the scheme is what the nearest proxy says") {
  CHECK(said({{"X-Forwarded-Proto", "https"}}) == "- https - -");
  CHECK(said({{"X-Forwarded-Proto", "HTTP"}}) == "- http - -");
  CHECK(said({{"X-Forwarded-Proto", "wss"}}) == "- https - -");
  CHECK(said({{"X-Forwarded-Proto", "ws"}}) == "- http - -");
  CHECK(said({{"X-Forwarded-Proto", "https, http"}}) == "- http - -");
  CHECK(said({{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", "http"}}) == "- http - -");
  // What it cannot mean says nothing, and does not bring the client's own word back.
  for (const char* const nothing : {"", "ftp", "https,", "on", "https;", "https http"}) {
    CAPTURE(nothing);
    CHECK(said({{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", nothing}}) == "- - - -");
  }
}

TEST_CASE("the host a client named, with its port, the port said, or the scheme's") {
  CHECK(said({{"X-Forwarded-Host", "example.org"}}) == "- - example.org 80");
  CHECK(said({{"X-Forwarded-Host", "example.org"}, {"X-Forwarded-Proto", "https"}}) ==
        "- https example.org 443");
  CHECK(said({{"X-Forwarded-Host", "example.org:8443"}, {"X-Forwarded-Proto", "https"}}) ==
        "- https example.org 8443");
  CHECK(said({{"X-Forwarded-Host", "example.org:1"}, {"X-Forwarded-Port", "2"}}) == "- - example.org 2");
  CHECK(said({{"X-Forwarded-Host", "[2001:db8::1]:81"}}) == "- - 2001:db8::1 81");
  CHECK(said({{"X-Forwarded-Host", "[2001:db8::1]"}}) == "- - 2001:db8::1 80");
  CHECK(said({{"X-Forwarded-Host", "evil.example, example.org"}}) == "- - example.org 80");
  CHECK(said({{"X-Forwarded-Host", "evil.example"}, {"X-Forwarded-Host", "example.org"}}) ==
        "- - example.org 80");
  CHECK(said({{"X-Forwarded-Port", "8443"}}) == "- - - 8443");
  CHECK(said({{"X-Forwarded-Port", "1, 8443"}}) == "- - - 8443");
  for (const char* const nothing : {"", "a b", "a/b", "user@example.org", "[::1", "example.org:99999", "\xe9"}) {
    CAPTURE(nothing);
    CHECK(said({{"X-Forwarded-Host", nothing}}) == "- - - -");
  }
  for (const char* const nothing : {"", "x", "65536", "-1", "443x"}) {
    CAPTURE(nothing);
    CHECK(said({{"X-Forwarded-Port", nothing}}) == "- - - -");
  }
}

// RFC 7239, sections 4, 6 and 7.1.
TEST_CASE("Forwarded says the same in one line") {
  CHECK(said_by("for=192.0.2.43, for=10.51.100.17") == "192.0.2.43:0 - - -");
  CHECK(said_by("For=\"[2001:db8:cafe::17]:4711\"") == "2001:db8:cafe::17:4711 - - -");
  CHECK(said_by("for=192.0.2.60;proto=http;by=203.0.113.43") == "192.0.2.60:0 http - -");
  CHECK(said_by("for=192.0.2.43, for=\"[2001:db8:1::17]\"") == "192.0.2.43:0 - - -");
  CHECK(said_by("for=\"192.0.2.43:47011\";proto=https;host=\"example.org:444\"") ==
        "192.0.2.43:47011 https example.org 444");
  CHECK(said_by("host=example.org;proto=HTTPS;FOR=192.0.2.43") == "192.0.2.43:0 https example.org 443");
  CHECK(said_by("for=\"192.0.2.43:_port\"") == "192.0.2.43:0 - - -");
  CHECK(said_by("for=192.0.2.43 ; proto=https") == "192.0.2.43:0 https - -");
  CHECK(said_by(";for=192.0.2.43;;") == "192.0.2.43:0 - - -");
  CHECK(said_by("for=192.0.2.43;by=\"a,b;c\\\"d\";x=y, for=10.0.0.1;by=\"q,\\\\\"") == "192.0.2.43:0 - - -");
  CHECK(said({{"Forwarded", "for=192.0.2.43"}, {"forwarded", "for=10.0.0.1"}}) == "192.0.2.43:0 - - -");
}

TEST_CASE("of Forwarded the leftmost element counts that a trusted proxy made") {
  CHECK(said_by("for=1.1.1.1;proto=http;host=evil.example, for=192.0.2.7;proto=https;host=example.org, "
                "for=10.0.0.1;proto=http;host=inner") == "192.0.2.7:0 https example.org 443");
  CHECK(said_by("for=192.0.2.7, for=10.0.0.1;proto=https") == "192.0.2.7:0 https - -");
}

TEST_CASE("what is no address in Forwarded ends the way") {
  CHECK(said_by("for=unknown") == "- - - -");
  CHECK(said_by("for=1.1.1.1, for=_gazonk;proto=https, for=10.0.0.1;proto=http") == "10.0.0.1:0 https - -");
  CHECK(said_by("for=1.1.1.1, proto=https") == "- https - -");
  CHECK(said_by("for=1.1.1.1, ") == "- - - -");
  CHECK(said_by("") == "- - - -");
  for (const char* const malformed :
       {"for", "for=", "=1.1.1.1", "for=1.1.1.1:80", "for=[::1]", "for=1.1.1.1 proto=https", "for=\"1.1.1.1",
        "for=1.1.1.1\"", "for=\"1.1.1.1\"x", "for=\"1.1.1.1\\", "for=\"1.1.1.1\\\"", "for=1.1.1.1;for=1.1.1.1",
        "for =1.1.1.1", "for= 1.1.1.1", "for=1.1.1.1;proto", "proto=https;proto=https;for=1.1.1.1"}) {
    CAPTURE(malformed);
    CHECK(said_by(malformed) == "- - - -");
    CHECK(said_by(std::string(malformed) + ", for=192.0.2.7;proto=http") == "192.0.2.7:0 http - -");
  }
}

// What a client leaves open must not swallow what a proxy adds behind it.
TEST_CASE("quotes a client leaves open do not hide what stands behind them") {
  for (const std::string open : {"for=\"", "for=1.1.1.1;host=\"", "\"", "a=\"b\", c=\"", "for=\"\\", "for=\"\\\""}) {
    CAPTURE(open);
    CHECK(said_by(open + ", for=192.0.2.7") == "192.0.2.7:0 - - -");
    CHECK(said_by(open + ", for=\"[2001:db8::7]:80\";proto=https") == "2001:db8::7:80 https - -");
    CHECK(said({{"Forwarded", open}, {"Forwarded", "for=192.0.2.7"}}) == "192.0.2.7:0 - - -");
  }
  CHECK(said_by(std::string(100'000, '"')) == "- - - -");
  CHECK(said_by("\"" + std::string(100'000, '\\') + "\"") == "- - - -");
}

TEST_CASE("beside any X-Forwarded line Forwarded is not read") {
  CHECK(said({{"Forwarded", "for=1.1.1.1;proto=https"}, {"X-Forwarded-For", "192.0.2.7"}}) ==
        "192.0.2.7:0 - - -");
  CHECK(said({{"X-Forwarded-Proto", "http"}, {"Forwarded", "for=1.1.1.1;proto=https"}}) == "- http - -");
  CHECK(said({{"X-Forwarded-For", "garbage"}, {"Forwarded", "for=1.1.1.1"}}) == "- - - -");
}

}  // namespace
