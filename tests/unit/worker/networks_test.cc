// tests/unit/worker/networks_test.cc -- addresses out of text and sockets, and lists of networks.
#include "worker/networks.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <stdexcept>

using namespace sluice;

namespace {

std::string shown(std::string_view text) { return std::string(IpText(ip_address_in(text)).view()); }

std::string shown_endpoint(std::string_view text) {
  const IpEndpoint endpoint = ip_endpoint_in(text);
  if (!endpoint.address.known()) return "none";
  return std::string(IpText(endpoint.address).view()) + " " + std::to_string(endpoint.port);
}

Networks networks(std::initializer_list<const char*> texts) {
  Networks all;
  for (const char* const text : texts) all.add(text);
  return all;
}

std::string refusal(std::string_view text) {
  try {
    Networks().add(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

bool holds(const Networks& all, std::string_view address) {
  REQUIRE(ip_address_in(address).known());
  return all.contains(ip_address_in(address));
}

TEST_CASE("an address is read strictly and shown in its shortest form") {
  CHECK(shown("192.0.2.1") == "192.0.2.1");
  CHECK(shown("2001:DB8:0:0::1") == "2001:db8::1");
  CHECK(shown("::ffff:192.0.2.1") == "192.0.2.1");
  CHECK(shown("::ffff:c000:201") == "192.0.2.1");
  CHECK(ip_address_in("::ffff:192.0.2.1") == ip_address_in("192.0.2.1"));
  CHECK(ip_address_in("::192.0.2.1") != ip_address_in("192.0.2.1"));
  for (const char* const none :
       {"", "192.0.2", "192.0.2.256", "192.0.2.01", "192.0.2.1.", " 192.0.2.1", "192.0.2.1 ", "0x7f.0.0.1",
        "3221225985", "[::1]", "::1%lo", "fe80::1%eth0", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", ":::", "::g",
        "localhost", "*", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"}) {
    CAPTURE(none);
    CHECK_FALSE(ip_address_in(none).known());
  }
  CHECK_FALSE(ip_address_in(std::string_view("192.0.2.1\0x", 11)).known());
}

TEST_CASE("an address may have a port, in the ways proxies write it") {
  CHECK(shown_endpoint("192.0.2.1") == "192.0.2.1 0");
  CHECK(shown_endpoint("192.0.2.1:55") == "192.0.2.1 55");
  CHECK(shown_endpoint("2001:db8::1") == "2001:db8::1 0");
  CHECK(shown_endpoint("[2001:db8::1]") == "2001:db8::1 0");
  CHECK(shown_endpoint("[2001:db8::1]:65535") == "2001:db8::1 65535");
  for (const char* const none :
       {"192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:000080", "192.0.2.1:-1", "192.0.2.1:+1", "192.0.2.1:80x",
        "192.0.2.1:80:80", "[192.0.2.1]:80", "[::1", "::1]", "[::1]80", "[::1]:", "[::1]:x", "[]:80", ":80",
        "[::1]:80:80", "[[::1]]:80", "unix:", "unknown", "_hidden"}) {
    CAPTURE(none);
    CHECK(shown_endpoint(none) == "none");
  }
}

TEST_CASE("a socket's name is its address, or none") {
  sockaddr_storage name{};
  auto& six = reinterpret_cast<sockaddr_in6&>(name);
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(80);
  six.sin6_addr.s6_addr[10] = six.sin6_addr.s6_addr[11] = 0xff;
  six.sin6_addr.s6_addr[12] = 10;
  const Networks all = networks({"10.0.0.0/8"});

  CHECK(ip_endpoint_of(name) == IpEndpoint{ip_address_in("10.0.0.0"), 80});
  CHECK(all.contains(name));

  name = {};
  name.ss_family = AF_UNIX;
  CHECK_FALSE(ip_endpoint_of(name).address.known());
  CHECK_FALSE(all.contains(name));
  CHECK(networks({"unix"}).contains(name));
  name.ss_family = AF_UNSPEC;
  CHECK_FALSE(networks({"unix", "0.0.0.0/0", "::/0"}).contains(name));
}

TEST_CASE("a network holds its addresses from the first to the last and no other") {
  const Networks all = networks({"192.0.2.64/26", "10.0.0.0/8", "203.0.113.7", "2001:db8::/32", "fd00::1"});

  for (const char* const in : {"192.0.2.64", "192.0.2.127", "10.0.0.0", "10.255.255.255", "203.0.113.7",
                               "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::1",
                               "::ffff:10.1.2.3"}) {
    CAPTURE(in);
    CHECK(holds(all, in));
  }
  for (const char* const out : {"192.0.2.63", "192.0.2.128", "9.255.255.255", "11.0.0.0", "203.0.113.6",
                                "203.0.113.8", "2001:db7:ffff::", "2001:db9::", "fd00::", "fd00::2", "::",
                                "0.0.0.0", "255.255.255.255"}) {
    CAPTURE(out);
    CHECK_FALSE(holds(all, out));
  }
  CHECK_FALSE(all.contains(IpAddress{}));
}

TEST_CASE("all of one family is none of the other") {
  CHECK(holds(networks({"0.0.0.0/0"}), "255.255.255.255"));
  CHECK_FALSE(holds(networks({"0.0.0.0/0"}), "::1"));
  CHECK(holds(networks({"::/0"}), "ffff::"));
  CHECK_FALSE(holds(networks({"::/0"}), "10.0.0.1"));
  CHECK_FALSE(holds(networks({"::/0"}), "::ffff:10.0.0.1"));
  CHECK(holds(networks({"::ffff:10.0.0.0/104"}), "10.255.0.1"));
  CHECK_FALSE(holds(networks({"::ffff:10.0.0.0/104"}), "11.0.0.1"));
}

TEST_CASE("networks within one another, in any order, are their widest") {
  for (const Networks& all : {networks({"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.0.0.0", "10.0.0.0/8"}),
                              networks({"10.0.0.0", "10.1.2.3", "10.1.0.0/16", "10.0.0.0/8"})}) {
    CHECK(holds(all, "10.0.0.1"));
    CHECK(holds(all, "10.1.2.4"));
    CHECK(holds(all, "10.200.0.0"));
    CHECK_FALSE(holds(all, "11.0.0.0"));
  }
}

TEST_CASE("a list is shown as it was given, each in its shortest form") {
  CHECK(networks({"10.0.0.0/8", "unix", "2001:DB8:0::/48", "::1/128"}).texts() ==
        std::vector<std::string>{"10.0.0.0/8", "unix", "2001:db8::/48", "::1"});
  CHECK(Networks().empty());
  CHECK_FALSE(networks({"unix"}).empty());
}

TEST_CASE("what is no network is refused with what is allowed") {
  for (const char* const none : {"", "*", "all", "localhost", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
                                 "10.0.0.0/8/8", "10.0.0.0/0x8", "10/8", "10.0.0.1:80", "[::1]", "::/129",
                                 "::1%lo", "unix:", "Unix", "10.0.0.0/255.0.0.0", "::ffff:10.0.0.0/8",
                                 "10.0.0.0/4294967304"}) {
    CAPTURE(none);
    CHECK(refusal(none) == "must be addresses, networks like 192.0.2.0/24, or unix, not '" +
                               std::string(none) + "'");
  }
  CHECK(refusal("10.1.2.3/8") == "must be networks without further bits: 10.0.0.0/8, not '10.1.2.3/8'");
  CHECK(refusal("2001:db8::1/32") ==
        "must be networks without further bits: 2001:db8::/32, not '2001:db8::1/32'");
  CHECK(refusal("10.0.0.0/8").empty());
}

}  // namespace
