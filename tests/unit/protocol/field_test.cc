// tests/unit/protocol/field_test.cc -- messages held against their tables.
#include "protocol/field.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

#include "protocol/channel_name.h"
#include "protocol/http.h"
#include "protocol/websocket.h"

namespace sluice {
namespace {

struct Message {
  explicit Message(Fields fields) : space(1 << 16, '\0') {
    Encoder encoder(std::as_writable_bytes(std::span(space.data(), space.size())));
    encode(encoder, fields);
    view = MessageView::parse(encoder.finish().value()).value();
  }
  std::string space;
  MessageView view;
};

constexpr Field kTable[] = {
    {"id", Type::kInteger, Need::kAlways},
    {"content", Type::kText | Type::kBytes, Need::kOptional, 5},
    {"names", Type::kList, Need::kOptional, 2},
};

// Both ways of asking agree, and give the key and the reason.
std::string wrong(const Message& message, std::span<const Field> table) {
  std::array<ValueView, 32> values;
  const auto checked = check(message.view, table);
  const auto was_read = read(message.view, table, std::span(values).first(table.size()));
  REQUIRE_EQ(checked.has_value(), was_read.has_value());
  if (!checked) return "";
  REQUIRE_EQ(checked->key, was_read->key);
  REQUIRE_EQ(checked->why, was_read->why);
  return std::string(checked->key) + " " + std::string(describe(checked->why));
}

TEST_CASE(
    "a message that keeps to its table is right, with keys of its own and without optional ones") {
  CHECK_EQ(wrong(Message({{"id", 1}}), kTable), "");
  CHECK_EQ(wrong(Message({{"id", 1}, {"content", "12345"}}), kTable), "");
  CHECK_EQ(wrong(Message({{"id", 1}, {"content", as_bytes("12345")}}), kTable), "");
  CHECK_EQ(wrong(Message({{"own", 1}, {"id", 1}, {"content", nullptr}}), kTable), "");
}

TEST_CASE("the field that is wrong is named, and why") {
  const Value three[] = {1, 2, 3};
  CHECK_EQ(wrong(Message(Fields{}), kTable), "id missing");
  CHECK_EQ(wrong(Message({{"id", "1"}}), kTable), "id of the wrong type");
  CHECK_EQ(wrong(Message({{"id", nullptr}}), kTable), "id of the wrong type");
  CHECK_EQ(wrong(Message({{"id", 1}, {"content", 5}}), kTable), "content of the wrong type");
  CHECK_EQ(wrong(Message({{"id", 1}, {"content", "123456"}}), kTable), "content too large");
  CHECK_EQ(wrong(Message({{"id", 1}, {"names", std::span<const Value>(three)}}), kTable),
           "names too large");
}

TEST_CASE("reading leaves the values of a table's fields in its order") {
  const Message message({{"content", "text"}, {"id", 7}, {"content", "again"}});
  std::array<ValueView, 3> values;

  REQUIRE_FALSE(read(message.view, kTable, values).has_value());

  CHECK_EQ(values[0].integer(), 7);
  CHECK_EQ(values[1].text(), "text");
  CHECK_EQ(values[2].type(), Type::kMalformed);
}

TEST_CASE("an answer may have headers as a map or a list, and content as text or bytes") {
  const Pair headers[] = {{"X-A", "1"}};
  const Value list[] = {"x"};
  CHECK_EQ(wrong(Message({{"status_code", 200},
                          {"content", "Hello"},
                          {"headers", std::span<const Pair>(headers)}}),
                 kHttpResponse),
           "");
  CHECK_EQ(wrong(Message({{"status_code", 200}, {"headers", std::span<const Value>(list)}}),
                 kHttpResponse),
           "");
  CHECK_EQ(wrong(Message({{"content", "Hello"}}), kHttpResponse), "status_code missing");
  CHECK_EQ(wrong(Message({{"status_code", 200}, {"headers", "X: 1"}}), kHttpResponse),
           "headers of the wrong type");
}

TEST_CASE("what a consumer sends on a reply channel is told by its keys") {
  CHECK_EQ(kind_of(Message(Fields{}).view), WebSocketAnswer::kClose);
  CHECK_EQ(kind_of(Message({{"code", 4000}}).view), WebSocketAnswer::kClose);
  CHECK_EQ(kind_of(Message({{"content", "x"}, {"close", true}}).view), WebSocketAnswer::kSend);
  CHECK_EQ(kind_of(Message({{"accept", false}}).view), WebSocketAnswer::kAccept);
  CHECK_EQ(kind_of(Message({{"status_code", 404}, {"content", "x"}}).view),
           WebSocketAnswer::kResponse);
}

TEST_CASE("only close codes that may be sent are valid") {
  for (const int64_t code : {1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999}) {
    CHECK(valid_close_code(code));
  }
  for (const int64_t code : {-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000}) {
    CHECK_FALSE(valid_close_code(code));
  }
}

TEST_CASE("the names of the channels are in the grammar") {
  for (const std::string_view name :
       {kHttpRequestChannel, kHttpDisconnectChannel, kHttpRequestBodyChannel,
        kWebSocketConnectChannel, kWebSocketReceiveChannel, kWebSocketDisconnectChannel}) {
    CHECK_EQ(parse_channel_name(name), ChannelKind::kNormal);
  }
  CHECK(ReplyChannelName::http_request_body({}).view().starts_with(
      std::string(kHttpRequestBodyChannel) + "?"));
}

}  // namespace
}  // namespace sluice
