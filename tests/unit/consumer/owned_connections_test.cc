// tests/unit/consumer/owned_connections_test.cc -- what a consumer makes up when the gateway is gone.
#include "consumer/owned_connections.h"

#include <set>

#include "consumer/consumer.h"
#include "protocol/websocket_constants.h"
#include "tests/unit/consumer/fake_gateway.h"
// After ours: result.h has a CHECK too, and from here on doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using namespace sluice;
using sluice::tests::FakeGateway;

namespace {

// A WebSocket whose worker has written its constant keys, and published its connect.
struct WebSocket {
  explicit WebSocket(FakeGateway& gateway) : about(gateway.open_connection(0)) {
    const ReplyChannelName name = ReplyChannelName::websocket_send(about);
    constants = gateway.worker().claim(400).value();
    Encoder encoder(constants.space());
    encode(encoder, {{"path", "/ws"}, {"reply_channel", name.view()}, {"scheme", "ws"}});
    static_cast<void>(encoder.finish().value());
    gateway.slots().set_constants(about.slot, constants.block());
    gateway.send("websocket.connect", about, {{"path", "/ws"}, {"reply_channel", name.view()}});
  }
  ReplyAddress about;
  shm::Claim constants;
};

Consumer attach(FakeGateway& gateway) {
  return Consumer::attach(gateway.path(), {"websocket.connect", "websocket.receive"}).value();
}

TEST_CASE("when the gateway is gone each connection owned gets one disconnect, then it is said") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  const WebSocket sockets[] = {WebSocket(gateway), WebSocket(gateway), WebSocket(gateway)};
  for (int i = 0; i < 3; ++i) REQUIRE(consumer.receive().ok());
  gateway.slots().set_order(sockets[0].about.slot, 7);

  gateway.hang_up();

  std::set<uint32_t> slots;
  for (int i = 0; i < 3; ++i) {
    const auto message = consumer.receive();
    REQUIRE(message.ok());
    CHECK(message->kind() == MessageKind::kWebSocketDisconnect);
    CHECK(message->channel() == "websocket.disconnect");
    CHECK(message->fields().text("path") == "/ws");
    CHECK(message->fields().text("scheme") == "ws");
    CHECK(message->fields().text("reply_channel") ==
          ReplyChannelName::websocket_send(message->address()).view());
    CHECK(message->fields().integer("code") == 1006);
    const bool first = message->address() == sockets[0].about;
    CHECK(message->fields().integer("order") == (first ? 8 : 1));
    slots.insert(message->address().slot);
  }
  CHECK(slots.size() == 3);
  CHECK(consumer.receive().error() == Error::kDetached);
  CHECK(consumer.try_receive().error() == Error::kDetached);
}

TEST_CASE("a connection whose end was told gets no second disconnect") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  const WebSocket told(gateway);
  const WebSocket lost(gateway);
  for (int i = 0; i < 2; ++i) REQUIRE(consumer.receive().ok());
  gateway.send_to(1, "websocket.disconnect", told.about, {{"path", "/ws"}, {"code", 1000}});

  gateway.hang_up();  // before it was read

  CHECK(consumer.receive()->fields().integer("code") == 1000);
  CHECK(consumer.receive()->address() == lost.about);
  CHECK(consumer.receive().error() == Error::kDetached);
}

TEST_CASE("a connection another process owns is not ours to end") {
  FakeGateway gateway;
  Consumer owner = attach(gateway);
  const WebSocket socket(gateway);
  REQUIRE(owner.receive().ok());
  Consumer other = attach(gateway);
  gateway.send("websocket.receive", socket.about, {{"content", "astray"}});
  REQUIRE(other.receive().ok());

  gateway.hang_up();

  CHECK(other.receive().error() == Error::kDetached);
  CHECK(owner.receive()->address() == socket.about);
}

TEST_CASE("where the constant keys are gone the disconnect names its reply channel") {
  FakeGateway gateway;
  Consumer consumer = attach(gateway);
  WebSocket socket(gateway);
  REQUIRE(consumer.receive().ok());
  // The block is used for another connection's by now.
  Encoder encoder(socket.constants.space());
  encode(encoder, {{"path", "/other"}, {"reply_channel", "websocket.send.2-1!63.9"}});

  gateway.hang_up();

  const auto message = consumer.receive();
  REQUIRE(message.ok());
  CHECK(message->fields().text("reply_channel") ==
        ReplyChannelName::websocket_send(socket.about).view());
  CHECK(message->fields().integer("code") == 1006);
  CHECK_FALSE(message->fields().find("path"));
}

}  // namespace
