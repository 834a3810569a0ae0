// tests/unit/worker/proxy_header_test.cc -- the PROXY protocol, whole, cut at every byte, and not kept to.
#include "worker/proxy_header.h"

#include "protocol/limits.h"

// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace sluice;
using namespace std::string_literals;

namespace {

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;
const std::string kAddresses4 = "\xc0\x00\x02\x07\xcb\x00\x71\x01\x12\x67\x01\xbb"s;

std::string two(size_t number) {
  return {static_cast<char>(number >> 8 & 255), static_cast<char>(number & 255)};
}
std::string header(uint8_t command, uint8_t family, const std::string& block) {
  return kSignature + static_cast<char>(command) + static_cast<char>(family) + two(block.size()) + block;
}
std::string vector(uint8_t kind, const std::string& value) {
  return static_cast<char>(kind) + two(value.size()) + value;
}

std::string told(const ProxyHeader& said, size_t given) {
  switch (said.progress) {
    case ProxyHeader::Progress::kMore:
      return "more";
    case ProxyHeader::Progress::kRefused:
      return "refused: " + std::string(said.reason);
    case ProxyHeader::Progress::kWhole:
      break;
  }
  std::string text = "whole of " + std::to_string(said.size);
  if (said.size > given) text += " more than there is";
  constexpr const char* kKinds[] = {" itself", " unnamed", " unix", ""};
  text += kKinds[static_cast<size_t>(said.client_kind)];
  for (const IpEndpoint& end : {said.client, said.server}) {
    if (end.address.known()) {
      text.append(" ").append(IpText(end.address).view()).append(" ").append(std::to_string(end.port));
    }
  }
  return text + (said.over_tls ? " tls" : "");
}

// What is said of the bytes whole; it must be said of them with more behind, and of no shorter piece
// anything but `more`, or the same refusal.
std::string said(const std::string& bytes) {
  const std::string whole = told(read_proxy_header(as_bytes(bytes)), bytes.size());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string part = told(read_proxy_header(as_bytes(std::string_view(bytes).substr(0, size))), size);
    if (part != "more" && part != whole) return whole + ", but at " + std::to_string(size) + " " + part;
  }
  if (whole != "more" && !whole.starts_with("refused: a line without")) {
    for (const char* const behind : {"G", "GET / HTTP/1.1\r\n", "\r\n", "PROXY "}) {
      const std::string longer = bytes + behind;
      const std::string other = told(read_proxy_header(as_bytes(longer)), longer.size());
      if (other != whole) return whole + ", but with more behind " + other;
    }
  }
  return whole;
}

TEST_CASE("a line names both ends") {
  CHECK(said("PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n") ==
        "whole of 44 192.0.2.7 56324 203.0.113.1 443");
  CHECK(said("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n") ==
        "whole of 56 255.255.255.255 65535 255.255.255.255 65535");
  CHECK(said("PROXY TCP6 2001:db8::7 2001:DB8::1 1 0\r\n") == "whole of 40 2001:db8::7 1 2001:db8::1 0");
  CHECK(said("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n")
            .starts_with("whole of 104 "));
  CHECK(said("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 1 2\r\n") == "whole of 50 192.0.2.7 1 192.0.2.1 2");
}

TEST_CASE("a line may say that the client is unknown, and anything then") {
  CHECK(said("PROXY UNKNOWN\r\n") == "whole of 15 unnamed");
  CHECK(said("PROXY UNKNOWN \r\n") == "whole of 16 unnamed");
  CHECK(said("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n") == "whole of 107 unnamed");
  CHECK(said("PROXY UNKNOWN " + std::string(91, 'x') + "\r\n") == "whole of 107 unnamed");
}

TEST_CASE("a line too long is refused at its 107th byte") {
  const std::string line = "PROXY UNKNOWN " + std::string(92, 'x');
  CHECK(said(line) == "more");
  CHECK(said(line + "\r") == "refused: a line without an end");
  CHECK(said(line + "\r\n") == "refused: a line without an end");
  CHECK(said("PROXY " + std::string(101, ' ')) == "refused: a line without an end");
}

TEST_CASE("a line that keeps not to the letter is refused") {
  for (const std::string& line : {
           "PROXY \r\n"s, "PROXY TCP4\r\n"s, "PROXY TCP4 192.0.2.7\r\n"s, "PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n"s,
           "PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n"s, "PROXY TCP4 192.0.2.7  192.0.2.1 1 2\r\n"s,
           "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n"s, "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n"s,
           "PROXY  TCP4 192.0.2.7 192.0.2.1 1 2\r\n"s, "PROXY TCP4\t192.0.2.7 192.0.2.1 1 2\r\n"s,
           "PROXY TCP4 192.0.2.007 192.0.2.1 1 2\r\n"s, "PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n"s,
           "PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n"s, "PROXY TCP4 192.0.2.7 192.0.2.1 00 2\r\n"s,
           "PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n"s, "PROXY TCP4 192.0.2.7 192.0.2.1 1 -2\r\n"s,
           "PROXY TCP4 192.0.2.7 192.0.2.1 1 +2\r\n"s, "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\0\r\n"s,
           "PROXY TCP4 192.0.2.7\0 192.0.2.1 1 2\r\n"s, "PROXY TCP4 192.0.2.7 192.0.2.1 1 \r\n"s,
           "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n"s, "PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n"s,
           "PROXY TCP6 2001:db8::7 192.0.2.1 1 2\r\n"s, "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n"s,
           "PROXY TCP6 [2001:db8::7] [2001:db8::1] 1 2\r\n"s, "PROXY TCP4 ::ffff:192.0.2.7 ::ffff:1.2.3.4 1 2\r\n"s,
           "PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n"s, "PROXY tcp4 192.0.2.7 192.0.2.1 1 2\r\n"s,
           "PROXY unknown\r\n"s, "PROXY UNKNOWNX\r\n"s, "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\r\n"s,
           "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n"s, "PROXY UNKNOWN\n"s, "PROXY \n"s,
           "PROXY UNKNOWN x\ny\r\n"s}) {
    CAPTURE(line);
    CHECK(said(line).starts_with("refused: a "));
  }
}

TEST_CASE("anything else is refused at its first byte that differs") {
  for (const std::string& other : {"GET / HTTP/1.1\r\n\r\n"s, "\x16\x03\x01"s, "P"s + "OST", "PROXX"s, "PROXY\r\n"s,
                                   "\r\nGET"s, "\r\n\r\n\0\r\nQUIT\r"s, " PROXY "s, "proxy "s, "\n"s}) {
    CAPTURE(other);
    CHECK(said(other) == "refused: no PROXY header");
  }
  CHECK(said("") == "more");
  CHECK(said("PROXY ") == "more");
  CHECK(said(kSignature) == "more");
}

TEST_CASE("a binary header names both ends") {
  CHECK(said(header(0x21, 0x11, kAddresses4)) == "whole of 28 192.0.2.7 4711 203.0.113.1 443");
  const std::string six = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x07";
  CHECK(said(header(0x21, 0x21, six + six + two(4711) + two(443))) ==
        "whole of 52 2001:db8::7 4711 2001:db8::7 443");
  const std::string mapped = std::string(10, '\0') + "\xff\xff\xc0\x00\x02\x07"s;
  CHECK(said(header(0x21, 0x21, mapped + mapped + two(1) + two(2))) ==
        "whole of 52 192.0.2.7 1 192.0.2.7 2");
  CHECK(said(header(0x21, 0x31, std::string(216, 'x'))) == "whole of 232 unix");
}

TEST_CASE("a binary header may name nobody, and be as long as it likes") {
  CHECK(said(header(0x20, 0x00, "")) == "whole of 16 itself");
  CHECK(said(header(0x20, 0x11, kAddresses4)) == "whole of 28 itself");
  CHECK(said(header(0x20, 0xff, "junk")) == "whole of 20 itself");
  CHECK(said(header(0x21, 0x00, "")) == "whole of 16 unnamed");
  CHECK(said(header(0x21, 0x00, std::string(100, 'x'))) == "whole of 116 unnamed");
  CHECK(said(header(0x21, 0x12, kAddresses4)) == "whole of 28 unnamed");
  CHECK(said(header(0x21, 0x10, "")) == "whole of 16 unnamed");
  CHECK(said(header(0x21, 0x01, "")) == "whole of 16 unnamed");
  CHECK(said(header(0x21, 0x32, "")) == "whole of 16 unnamed");
}

TEST_CASE("a binary header that says what there is not is refused at that byte") {
  for (const int command : {0x00, 0x11, 0x22, 0x2f, 0x31, 0xff}) {
    CAPTURE(command);
    const std::string start = kSignature + static_cast<char>(command);
    CHECK(said(start) == "refused: a version or command that there is not");
  }
  for (const int family : {0x41, 0xf0, 0x13, 0x1f, 0x03}) {
    CAPTURE(family);
    const std::string start = kSignature + '\x21' + static_cast<char>(family);
    CHECK(said(start) == "refused: a family or transport that there is not");
  }
}

TEST_CASE("a binary header must hold its addresses and stay within bounds") {
  CHECK(said(header(0x21, 0x11, kAddresses4.substr(1))) == "refused: too short for its addresses");
  CHECK(said(header(0x21, 0x21, std::string(35, 'x'))) == "refused: too short for its addresses");
  CHECK(said(header(0x21, 0x31, std::string(215, 'x'))) == "refused: too short for its addresses");
  CHECK(said(header(0x21, 0x11, "")) == "refused: too short for its addresses");
  constexpr size_t kMost = limits::kProxyHeaderBytes - 16;
  CHECK(said(header(0x20, 0x00, std::string(kMost, 'x'))) == "whole of 4096 itself");
  CHECK(said(kSignature + "\x20" + '\0' + two(kMost + 1)) == "refused: too long");
  CHECK(said(kSignature + "\x21\x11\xff\xff") == "refused: too long");
}

TEST_CASE("vectors are passed over, if they fit") {
  const std::string alpn = vector(0x01, "h2"), noop = vector(0x04, ""), own = vector(0xe0, std::string(300, 'x'));
  CHECK(said(header(0x21, 0x11, kAddresses4 + alpn + noop + own)) ==
        "whole of 339 192.0.2.7 4711 203.0.113.1 443");
  for (const std::string& wrong : {"\x01"s, "\x01\x00"s, "\x01\x00\x01"s, "\x01\xff\xff"s, noop + "\x04",
                                   vector(0x03, "abc"), vector(0x03, "abcde"), vector(0x03, "abcd")}) {
    CHECK(said(header(0x21, 0x11, kAddresses4 + wrong)) ==
          "refused: a vector that does not fit, or a wrong checksum");
  }
}

TEST_CASE("a vector of TLS says how the client came") {
  const std::string version = vector(0x21, "TLSv1.3");
  CHECK(said(header(0x21, 0x11, kAddresses4 + vector(0x20, "\x01\0\0\0\0"s + version))).ends_with(" 443 tls"));
  CHECK(said(header(0x21, 0x11, kAddresses4 + vector(0x20, "\x07\0\0\0\x01"s))).ends_with(" 443 tls"));
  CHECK(said(header(0x21, 0x11, kAddresses4 + vector(0x20, "\x02\0\0\0\0"s))).ends_with(" 443"));
  CHECK(said(header(0x21, 0x11, kAddresses4 + vector(0x20, "\x01\0\0\0"s))).ends_with(" 443"));
}

TEST_CASE("a checksum that is there must be right") {
  // Worked out by another program, bit by bit from RFC 4960, appendix B.
  const std::string right = "\x5e\x2a\xca\x74"s;
  CHECK(said(header(0x21, 0x11, kAddresses4 + vector(0x03, right))) ==
        "whole of 35 192.0.2.7 4711 203.0.113.1 443");
  for (size_t byte = 0; byte < right.size(); ++byte) {
    std::string wrong = right;
    wrong[byte] = static_cast<char>(wrong[byte] ^ 1);
    CHECK(said(header(0x21, 0x11, kAddresses4 + vector(0x03, wrong))).starts_with("refused: "));
  }
  std::string moved = kAddresses4;
  moved[3] = 8;
  CHECK(said(header(0x21, 0x11, moved + vector(0x03, right))).starts_with("refused: "));
}

}  // namespace
