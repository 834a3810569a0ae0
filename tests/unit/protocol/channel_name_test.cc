// tests/unit/protocol/channel_name_test.cc -- which names are names, and which address is in one.
#include "protocol/channel_name.h"

#include <doctest/doctest.h>

#include <string>

#include "protocol/limits.h"

namespace sluice {
namespace {

TEST_CASE("a name says by its mark what kind of channel it is") {
  CHECK_EQ(parse_channel_name("http.request"), ChannelKind::kNormal);
  CHECK_EQ(parse_channel_name("http.request.body?x7"), ChannelKind::kSingleReader);
  CHECK_EQ(parse_channel_name("http.response.A1!c4"), ChannelKind::kProcessSpecific);
  CHECK_EQ(parse_channel_name("a"), ChannelKind::kNormal);
  CHECK_EQ(parse_channel_name("a!b"), ChannelKind::kProcessSpecific);
  CHECK_EQ(parse_channel_name("-_.09azAZ"), ChannelKind::kNormal);
}

TEST_CASE("a mark that is first, last or not alone makes a name invalid") {
  for (const std::string_view name :
       {"!", "?", "!a", "a!", "?a", "a?", "a!b!c", "a?b?c", "a!b?c", "a!!b", "a!?b"}) {
    CHECK_FALSE(parse_channel_name(name).has_value());
  }
}

TEST_CASE("a name has 1 to 200 bytes") {
  CHECK_FALSE(parse_channel_name("").has_value());
  CHECK(parse_channel_name(std::string(200, 'x')).has_value());
  CHECK_FALSE(parse_channel_name(std::string(201, 'x')).has_value());
}

TEST_CASE("of all bytes, 65 may stand in a name, and none of them is a line end") {
  size_t allowed = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string name = {'a', static_cast<char>(byte), 'b'};
    const auto kind = parse_channel_name(name);
    if (byte == '!' || byte == '?') {
      CHECK(kind != ChannelKind::kNormal);
      continue;
    }
    allowed += kind == ChannelKind::kNormal;
    CHECK_EQ(valid_group_name(name), kind == ChannelKind::kNormal);
  }
  CHECK_EQ(allowed, 65);
  CHECK_FALSE(parse_channel_name("name\n").has_value());
  CHECK_FALSE(parse_channel_name("na\xd9\xa3me").has_value());  // a digit, but not one of ours
}

TEST_CASE("a group's name has no mark") {
  CHECK(valid_group_name("room.1"));
  CHECK_FALSE(valid_group_name("room!1"));
  CHECK_FALSE(valid_group_name("room?1"));
  CHECK_FALSE(valid_group_name(""));
}

const ReplyAddress kLargest{UINT16_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};

TEST_CASE("an address comes back out of the name made of it") {
  for (const ReplyAddress& address : {ReplyAddress{0, 0, 0, 0, 1}, ReplyAddress{3, 1, 17, 5, 2},
                                      ReplyAddress{10, 20, 300, 4000, 50000}, kLargest}) {
    ReplyAddress socket = address;
    socket.ordinal = 0;

    CHECK_EQ(parse_reply_channel(ReplyChannelName::http_response(address).view()), address);
    CHECK_EQ(parse_reply_channel(ReplyChannelName::websocket_send(address).view()), socket);
  }
  CHECK_EQ(ReplyChannelName::http_response({3, 1, 17, 5, 2}).view(), "http.response.3-1!17.5.2");
  CHECK_EQ(ReplyChannelName::websocket_send({3, 1, 17, 5, 2}).view(), "websocket.send.3-1!17.5");
  CHECK_EQ(ReplyChannelName::http_request_body({3, 1, 17, 5, 2}).view(),
           "http.request.body?3-1.17.5.2");
}

TEST_CASE("the names made of addresses are in the grammar, the longest as well") {
  CHECK_EQ(parse_channel_name(ReplyChannelName::http_response(kLargest).view()),
           ChannelKind::kProcessSpecific);
  CHECK_EQ(parse_channel_name(ReplyChannelName::websocket_send(kLargest).view()),
           ChannelKind::kProcessSpecific);
  CHECK_EQ(parse_channel_name(ReplyChannelName::http_request_body(kLargest).view()),
           ChannelKind::kSingleReader);
  CHECK_LT(ReplyChannelName::http_response(kLargest).view().size(), 80);
}

TEST_CASE("no second name leads to an address") {
  for (const std::string_view name : {"",
                                      "http.response.",
                                      "http.response.3-1!17.5",
                                      "http.response.3-1!17.5.0",
                                      "http.response.03-1!17.5.2",
                                      "http.response.3-1!17.5.02",
                                      "http.response.3-1!17.5.2 ",
                                      "http.response.3-1!17.5.2.1",
                                      "http.response.+3-1!17.5.2",
                                      "http.response.3-1!-17.5.2",
                                      "http.response.65536-1!17.5.2",
                                      "http.response.3-4294967296!17.5.2",
                                      "http.response.3-1!17.5.99999999999999999999",
                                      "http.response.3-1?17.5.2",
                                      "http.response.3.1!17.5.2",
                                      "http.response.-1!17.5.2",
                                      "http.response.3-1!17..2",
                                      "HTTP.response.3-1!17.5.2",
                                      "websocket.send.3-1!17.5.2",
                                      "websocket.send.3-1!17",
                                      "websocket.send.3-1!17.",
                                      "http.request.body?3-1.17.5.2",
                                      "http.response.3-1!17.5.2\n"}) {
    CHECK_FALSE(parse_reply_channel(name).has_value());
  }
}

TEST_CASE("a glob stands for the names it matches: a star for anything, the rest for itself") {
  const auto matches = [](std::string_view glob, std::string_view name) {
    return valid_channel_glob(glob) && glob_matches(glob, name);
  };
  CHECK(matches("jobs", "jobs"));
  CHECK_FALSE(matches("jobs", "jobs.a"));
  CHECK(matches("*", "a"));
  CHECK(matches("jobs.*", "jobs."));
  CHECK(matches("*.a*b", "x.a.ab"));
  CHECK_FALSE(matches("*.a*b", "x.a.abc"));
  CHECK(matches("a*a*a", "aaa"));
  CHECK_FALSE(matches("a*a*a", "aa"));
  CHECK(matches("reply?*", "reply?x7"));
  CHECK_FALSE(matches("repl??x7", "reply?x7"));
  CHECK(matches("**", "a"));
  CHECK_FALSE(valid_channel_glob(""));
  CHECK_FALSE(valid_channel_glob("a b"));
  CHECK_FALSE(valid_channel_glob("[ab]"));
  CHECK_FALSE(valid_channel_glob(std::string(201, 'a')));
}

TEST_CASE("a glob of many stars is matched in time that does not explode") {
  std::string glob;
  for (int i = 0; i < 99; ++i) glob += "a*";

  CHECK_FALSE(glob_matches(glob + "b", std::string(200, 'a')));
}

}  // namespace
}  // namespace sluice
