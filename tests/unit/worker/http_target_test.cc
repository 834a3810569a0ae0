// tests/unit/worker/http_target_test.cc -- the four forms of a target; hosts, valid and not.
#include <doctest/doctest.h>

#include <string_view>

#include "worker/request_target.h"

namespace sluice {
namespace {

struct Row {
  std::string_view method, target, raw_path, query, authority;
};

TEST_CASE("a target is split into path, query and authority") {
  for (const Row& row : {
           Row{"GET", "/", "/", "", ""},
           Row{"GET", "/a?b?c", "/a", "b?c", ""},
           Row{"GET", "//a/b", "//a/b", "", ""},
           Row{"GET", "/http://a/", "/http://a/", "", ""},
           Row{"GET", "http://a", "/", "", "a"},
           Row{"GET", "http://a/", "/", "", "a"},
           Row{"GET", "HTTPS://a:1/b?c", "/b", "c", "a:1"},
           Row{"GET", "http://a?b/c", "/", "b/c", "a"},
           Row{"OPTIONS", "*", "*", "", ""},
           Row{"OPTIONS", "http://a", "*", "", "a"},
           Row{"OPTIONS", "http://a?b", "/", "b", "a"},
           Row{"OPTIONS", "http://[::1]:1/b", "/b", "", "[::1]:1"},
       }) {
    CAPTURE(row.target);
    const auto split = split_target(row.method, row.target);
    REQUIRE(split.has_value());
    CHECK(split->raw_path == row.raw_path);
    CHECK(split->query == row.query);
    CHECK(split->authority == row.authority);
  }
}

TEST_CASE("a target of no form that its method allows is none") {
  for (const Row& row : {Row{"GET", "*", "", "", ""}, Row{"OPTIONS", "*x", "", "", ""},
                         Row{"GET", "a", "", "", ""}, Row{"GET", "a:80", "", "", ""},
                         Row{"GET", "?a", "", "", ""}, Row{"GET", "ftp://a/", "", "", ""},
                         Row{"GET", "://a/", "", "", ""}, Row{"GET", "http://", "", "", ""},
                         Row{"GET", "http:///a", "", "", ""}, Row{"GET", "http://a@b/", "", "", ""},
                         Row{"GET", "http://a:b/", "", "", ""}, Row{"GET", "http:a", "", "", ""}}) {
    CAPTURE(row.target);
    CHECK_FALSE(split_target(row.method, row.target).has_value());
  }
}

TEST_CASE("valid hosts are taken") {
  for (std::string_view host : {"a",
                                "A.example.ORG",
                                "a.example.org.",
                                "a:0",
                                "a:80",
                                "a:65535",
                                "127.0.0.1",
                                "127.0.0.1:80",
                                "a_b",
                                "a-b",
                                "a%2Db",
                                "!$&'()*+;=~",
                                "[::]",
                                "[::1]",
                                "[1::]",
                                "[1:2:3:4:5:6:7:8]:80",
                                "[1:2:3:4:5:6:7::]",
                                "[::2:3:4:5:6:7:8]",
                                "[::ffff:1.2.3.4]",
                                "[1:2:3:4:5:6:1.2.3.4]",
                                "[2001:DB8::1]"}) {
    CAPTURE(host);
    CHECK(valid_host(host));
  }
}

TEST_CASE("hosts that are none are refused") {
  for (std::string_view host : {"",
                                ":",
                                ":80",
                                "a:",
                                "a:b",
                                "a:65536",
                                "a:000080",
                                "a:-1",
                                "a: 80",
                                "a:1:2",
                                "a b",
                                "a,b",
                                "a/b",
                                "a?b",
                                "a#b",
                                "a@b",
                                "a\\b",
                                "a\"b",
                                "a<b",
                                "a^b",
                                "a`b",
                                "a{b",
                                "a|b",
                                "a%",
                                "a%2",
                                "a%2g",
                                "a\tb",
                                "\xc3\xa4",
                                "[",
                                "[]",
                                "[:]",
                                "[::1",
                                "::1",
                                "[1]",
                                "[1:2:3:4:5:6:7]",
                                "[1:2:3:4:5:6:7:8:9]",
                                "[1::2::3]",
                                "[:::]",
                                "[12345::]",
                                "[::g]",
                                "[::1]a",
                                "[::1]:",
                                "[::1]:x",
                                "[::1%25a]",
                                "[v1.a]",
                                "[::1.2.3]",
                                "[::1.2.3.256]",
                                "[::01.2.3.4]",
                                "[1:2:3:4:5:6:7:1.2.3.4]",
                                "[1:2:3:4:5:6:7:8::]",
                                "[1:]",
                                "[1:2:3:4:5:6:7:]"}) {
    CAPTURE(host);
    CHECK_FALSE(valid_host(host));
  }
}

}  // namespace
}  // namespace sluice
