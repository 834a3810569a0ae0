// protocol/websocket.h -- the messages of WebSocket: channels and fields. More in README.md.
#pragma once

#include "protocol/field.h"
#include "protocol/limits.h"

namespace sluice {

inline constexpr std::string_view kWebSocketConnectChannel = "websocket.connect";
inline constexpr std::string_view kWebSocketReceiveChannel = "websocket.receive";
inline constexpr std::string_view kWebSocketDisconnectChannel = "websocket.disconnect";

// websocket.connect -- a handshake is done, or waits for a consumer's word. What it says of the
// connection stands in every later message of it, encoded once.
//   from worker   to any one consumer, which owns the connection from then on
//   channel "websocket.connect" (normal)   full  the client gets 503
inline constexpr Field kWebSocketConnect[] = {
    {"GET", Type::kList, Need::kAlways, limits::kFormFields},
    {"COOKIES", Type::kMap, Need::kAlways},
    {"META", Type::kMap, Need::kAlways},
    {"path", Type::kText, Need::kAlways},
    {"path_info", Type::kText, Need::kAlways},
    // reply_channel -- where to send; good for this connection and no other
    {"reply_channel", Type::kText, Need::kAlways, limits::kChannelNameBytes},
    {"headers", Type::kList, Need::kOptional, limits::kHeaderFields},
    {"raw_path", Type::kBytes, Need::kOptional, limits::kTargetBytes},
    {"query_string", Type::kBytes, Need::kOptional, limits::kTargetBytes},
    {"scheme", Type::kText, Need::kOptional},
    {"http_version", Type::kText, Need::kOptional},
    {"client", Type::kList, Need::kOptional, 2},
    {"server", Type::kList, Need::kOptional, 2},
    {"root_path", Type::kText, Need::kOptional},
    // subprotocols -- those the client offers, in its order
    {"subprotocols", Type::kList, Need::kOptional, limits::kSubprotocols},
    // order -- 0; receives count from 1, the disconnect comes last
    {"order", Type::kInteger, Need::kOptional},
};

// websocket.receive -- one whole message of the client. All fields of websocket.connect, and these.
//   from worker   to the owner of the connection, else to any one consumer, which becomes it
//   full  the worker stops reading the socket; past the deadline it closes with 1013
inline constexpr Field kWebSocketReceive[] = {
    // content -- text, or bytes when binary
    {"content", Type::kText | Type::kBytes, Need::kAlways, limits::kWebSocketMessageBytes},
    {"binary", Type::kBoolean, Need::kAlways},
    {"order", Type::kInteger, Need::kOptional},
};

// websocket.disconnect -- the connection is over; exactly one for each that was announced. All
// fields of websocket.connect, and these.
//   from worker, or from the master when it died   to the owner
//   full  it has a place kept for it
inline constexpr Field kWebSocketDisconnect[] = {
    // code -- 1005 when the client gave none, 1006 when there was no close frame
    {"code", Type::kInteger, Need::kOptional},
    {"reason", Type::kText, Need::kOptional, limits::kCloseReasonBytes},
    {"order", Type::kInteger, Need::kOptional},
};

// websocket.list -- which WebSockets there are. A consumer asks each worker on this logical channel of its
// inbox, to repair what it missed; answers come to the asker's inbox.
inline constexpr std::string_view kWebSocketListChannel = "websocket.list";
inline constexpr Field kWebSocketList[] = {
    // request -- whatever the asker chose: it comes back with the answer
    {"request", Type::kInteger, Need::kAlways},
    // incarnation -- the asker's; its row of the process table stands in the payload's header
    {"incarnation", Type::kInteger, Need::kAlways},
};
//   from worker   full  it is not sent: the asker has a deadline
inline constexpr Field kWebSocketListed[] = {
    {"request", Type::kInteger, Need::kAlways},
    // connections -- maps of `reply_channel` and `path`, both text, in no order
    {"connections", Type::kList, Need::kAlways, limits::kListedPerAnswer},
    // more_content -- true: another answer follows
    {"more_content", Type::kBoolean, Need::kAlways},
};

// What a consumer sends on a reply_channel (process-specific); which of the three below it is,
// kind_of() says.
//   full  the consumer is told so and may wait
//   wrong it is dropped and counted; during a handshake the client gets 502

// Send.
inline constexpr Field kWebSocketSend[] = {
    // content -- text or bytes
    //   errors  bytes sent as a text frame that are not UTF-8: dropped
    {"content", Type::kText | Type::kBytes, Need::kAlways, limits::kMessageBytes},
    // binary -- which kind of frame
    //   absent  the type of content decides
    {"binary", Type::kBoolean, Need::kOptional},
    // close -- true: the connection is closed after it
    {"close", Type::kBoolean, Need::kOptional},
    {"code", Type::kInteger, Need::kOptional},
    {"reason", Type::kText, Need::kOptional, limits::kCloseReasonBytes},
};

// Server Close: the empty map closes with 1000.
inline constexpr Field kWebSocketClose[] = {
    {"code", Type::kInteger, Need::kOptional},
    {"reason", Type::kText, Need::kOptional, limits::kCloseReasonBytes},
    {"close", Type::kBoolean, Need::kOptional},
};

// Accept: the answer to a handshake that waits for one. {accept: false} rejects with 403; an HTTP
// Response (http.h) rejects with that response.
inline constexpr Field kWebSocketAccept[] = {
    {"accept", Type::kBoolean, Need::kAlways},
    // subprotocol -- one of those offered
    {"subprotocol", Type::kText, Need::kOptional, limits::kHeaderLineBytes},
    {"headers", Type::kMap | Type::kList, Need::kOptional, limits::kAcceptHeaderFields},
};

enum class WebSocketAnswer : uint8_t { kSend, kClose, kAccept, kResponse };

// By its keys: `accept`, else `status_code`, else `content`, else it closes.
[[nodiscard]] inline WebSocketAnswer kind_of(const MessageView& message) noexcept {
  if (message.has("accept")) return WebSocketAnswer::kAccept;
  if (message.has("status_code")) return WebSocketAnswer::kResponse;
  return message.has("content") ? WebSocketAnswer::kSend : WebSocketAnswer::kClose;
}

// Whether an endpoint may put it into a close frame (RFC 6455 section 7.4).
[[nodiscard]] constexpr bool valid_close_code(int64_t code) noexcept {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

}  // namespace sluice
