// tests/unit/worker/origins_test.cc -- whose pages may open a WebSocket, and what is no origin.
#include "worker/origins.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <stdexcept>

using namespace sluice;

namespace {

Origins origins(std::initializer_list<const char*> texts) {
  Origins all;
  for (const char* const text : texts) all.add(text);
  return all;
}

// For a client that asked for `host`.
bool allowed(const Origins& all, std::string_view origin, std::string_view host = "gateway.test") {
  return all.allow(origin, split_host(host).value_or(HostPort{}));
}

std::string refusal(std::initializer_list<const char*> texts) {
  try {
    static_cast<void>(origins(texts));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("an origin is allowed whatever its case, its port said or not, a dot behind it or none") {
  const Origins all = origins({"https://Example.org", "http://example.net:8080", "http://example.com:80"});

  for (const char* const good :
       {"https://example.org", "HTTPS://EXAMPLE.ORG", "https://example.org:443", "https://example.org.",
        "https://example.org.:443", "http://example.net:8080", "http://example.com", "http://example.com:80"}) {
    CAPTURE(good);
    CHECK(allowed(all, good));
  }
  for (const char* const bad :
       {"http://example.org", "https://example.org:80", "https://example.org:8443", "https://example.org..",
        "https://www.example.org", "https://xexample.org", "https://example.org.evil.test", "https://evil.test",
        "http://example.net", "https://example.net:8080", "http://example.com:443", "wss://example.org"}) {
    CAPTURE(bad);
    CHECK_FALSE(allowed(all, bad));
  }
}

TEST_CASE("what is no origin is allowed by any alone") {
  const Origins listed = origins({"https://example.org", "https://*.example.org", "same", "null"});
  const Origins any = origins({"any"});

  for (const char* const garbage :
       {"", " ", "null ", "NULL", "example.org", "//example.org", "https:", "https://", "https:/example.org",
        "https:example.org", "://example.org", "https://example.org/", "https://example.org/path",
        "https://example.org?", "https://example.org#", "https://user@example.org", "https://example.org:",
        "https://example.org:0", "https://example.org:65536", "https://example.org:443443", "https://example.org:x",
        "https://example.org:-443", "https://[::1", "https://[example.org]", "https://exam ple.org",
        "https://example.org https://example.org", "https://example.org, https://example.org", "1https://example.org",
        "ht tps://example.org", "https://.example.org", "https://\xc3\xa9.example.org\xff", "https://example.org\\"}) {
    CAPTURE(garbage);
    CHECK_FALSE(allowed(listed, garbage));
    CHECK(allowed(any, garbage));
    CHECK(allowed(Origins(), garbage));
  }
  CHECK_FALSE(allowed(listed, std::string_view("https://example.org\0", 20)));
  CHECK_FALSE(allowed(listed, std::string(100000, 'a')));
}

TEST_CASE("a star stands for one label or more, and not for none") {
  const Origins all = origins({"https://*.example.org", "http://*.localhost:3000"});

  CHECK(allowed(all, "https://a.example.org"));
  CHECK(allowed(all, "https://a.b.EXAMPLE.org:443"));
  CHECK(allowed(all, "https://a.example.org."));
  CHECK(allowed(all, "http://app.localhost:3000"));
  for (const char* const bad :
       {"https://example.org", "https://.example.org", "https://aexample.org", "https://a-example.org",
        "http://a.example.org", "https://a.example.org:8443", "https://a.example.org.evil.test",
        "https://example.org.evil.test", "http://app.localhost", "http://localhost:3000"}) {
    CAPTURE(bad);
    CHECK_FALSE(allowed(all, bad));
  }
}

TEST_CASE("IPv6 literals are compared as addresses") {
  const Origins all = origins({"http://[2001:DB8:0::1]", "https://[::1]:8443", "http://192.0.2.1"});

  CHECK(allowed(all, "http://[2001:db8::1]"));
  CHECK(allowed(all, "http://[2001:db8::1]:80"));
  CHECK(allowed(all, "https://[0:0::1]:8443"));
  CHECK(allowed(all, "http://192.0.2.1:80"));
  CHECK_FALSE(allowed(all, "http://[2001:db8::2]"));
  CHECK_FALSE(allowed(all, "https://[::1]"));
  CHECK_FALSE(allowed(all, "http://[::ffff:192.0.2.1]"));
  CHECK_FALSE(allowed(all, "http://2001:db8::1"));
}

TEST_CASE("same is the host and port that the client asked for") {
  const Origins all = origins({"same"});
  struct Case {
    const char *origin, *host;
    bool allowed;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"http://example.org", "example.org", true},
           {"https://example.org", "example.org", true},  // there may be TLS before us
           {"https://example.org", "Example.ORG.", true},
           {"https://example.org", "example.org:443", true},
           {"http://example.org:80", "example.org", true},
           {"http://localhost:8000", "localhost:8000", true},
           {"http://[::1]:8000", "[0::1]:8000", true},
           {"app://example.org", "example.org", false},  // an app has a host of that name by itself
           {"https://example.org", "example.org:80", false},
           {"http://example.org:8000", "example.org", false},
           {"http://localhost:3000", "localhost:8000", false},
           {"http://localhost", "127.0.0.1", false},
           {"https://evil.test", "example.org", false},
           {"https://example.org.evil.test", "example.org", false},
           {"null", "null", false},
           {"http://[::1]:8000", "[::2]:8000", false}}) {
    CAPTURE(c.origin);
    CAPTURE(c.host);
    CHECK(allowed(all, c.origin, c.host) == c.allowed);
  }
  CHECK_FALSE(all.allow("https://example.org", HostPort{}));
  CHECK(allowed(origins({"same", "https://example.org"}), "https://example.org", "gateway.test"));
}

TEST_CASE("null is allowed where it is listed") {
  CHECK(allowed(origins({"null"}), "null"));
  CHECK(allowed(origins({"any"}), "null"));
  CHECK_FALSE(allowed(origins({"https://example.org", "same"}), "null"));
  CHECK_FALSE(allowed(origins({"null"}), "https://example.org"));
}

TEST_CASE("schemes of apps are origins too, with a port only where it is said") {
  const Origins all = origins({"capacitor://localhost", "chrome-extension://abcdefgh", "app://x:1"});

  CHECK(allowed(all, "capacitor://localhost"));
  CHECK(allowed(all, "chrome-extension://abcdefgh"));
  CHECK(allowed(all, "app://x:1"));
  CHECK_FALSE(allowed(all, "app://x"));
  CHECK_FALSE(allowed(all, "capacitor://localhost:80"));
}

TEST_CASE("a value that says no origin is refused, and which one") {
  constexpr const char* kRule =
      "must be any alone, or same, null, and origins like https://example.org or "
      "https://*.example.org:8443, not '";
  for (const char* const bad :
       {"", "example.org", "*", "https://*", "https://*.", "https://**.example.org", "https://a.*.org", "https://*example.org",
        "https://*.*.org", "https://*.192.0.2.1", "https://*.[::1]", "https://example.org/", "https://example.org:0",
        "https://example.org:*", "wss://example.org", "ws://example.org", "https://..", "https://example.org:70000",
        "Same", "https://u@example.org", "https://\xc3\xa9.org"}) {
    CAPTURE(bad);
    CHECK(refusal({bad}) == kRule + std::string(bad) + "'");
  }
  CHECK(refusal({"same", "any"}) == std::string(kRule) + "any among others'");
  CHECK(refusal({"any", "same"}) == std::string(kRule) + "same'");
  CHECK(refusal({"any", "any"}) == std::string(kRule) + "any among others'");
}

}  // namespace
