// worker/request_message.h -- http.request, its body chunks and http.disconnect, encoded straight into
// the space given; and the constant keys of a WebSocket's messages (messages.md, "Keys").
//
// A request is one map: its head's keys first, then those of its body. What the head takes, in bytes and
// elements, is told, so that a disconnect can repeat it without parsing anything again.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "protocol/codec.h"
#include "worker/form.h"
#include "worker/http_session.h"

namespace sluice {

// What the messages of a connection say beside the client's bytes.
struct RequestSource {
  std::string_view root_path;    // SCRIPT_NAME
  std::string_view client_host;  // "" for a unix socket
  uint16_t client_port = 0;
  std::string_view server_host;
  uint16_t server_port = 0;
  bool secure = false;  // https, wss
};

// Keys and values of a map, encoded: everything between its header and its end.
struct EncodedKeys {
  uint32_t bytes = 0;
  uint32_t elements = 0;  // keys and values counted apart
};

// The first guess at a head's encoded size; most fit, the others are encoded again in a larger space.
[[nodiscard]] size_t expected_head_bytes(const RequestHead& head) noexcept;

// Appends GET COOKIES META path path_info method response_channel headers raw_path query_string scheme
// http_version client server root_path to an open map. kTooManyFields: the query has too many.
// Space that is too small is the encoder's to tell.
[[nodiscard]] Result<void> encode_request_head(Encoder& encoder, const RequestHead& head,
                                               const RequestSource& source,
                                               std::string_view response_channel);
// The same keys for a WebSocket: reply_channel and subprotocols, no method and response_channel.
[[nodiscard]] Result<void> encode_websocket_head(Encoder& encoder, const RequestHead& head,
                                                 const RequestSource& source,
                                                 std::string_view reply_channel,
                                                 std::span<const std::string_view> subprotocols);

// What comes after the head.
struct RequestBody {
  FormKind form = FormKind::kNone;
  std::string_view content_type{};  // of a form
  std::string_view bytes{};         // a form's whole body, or the first bytes of another's
  std::string_view body_channel{};  // not empty: more comes there
};
// Appends POST, FILES and what there is of body, body_channel and more_content.
[[nodiscard]] Result<void> encode_request_body(Encoder& encoder, const RequestBody& body);

// A whole http.request of keys encoded before. kMessageTooLarge: the space is too small.
[[nodiscard]] Result<Bytes> encode_request(std::span<std::byte> space, Bytes head, uint32_t head_elements,
                                           const RequestBody& body);
// http.disconnect: the head's keys again, and an empty POST.
[[nodiscard]] Result<Bytes> encode_http_disconnect(std::span<std::byte> space, Bytes head,
                                                   uint32_t head_elements);
// What a disconnect adds to its head.
inline constexpr size_t kDisconnectKeysBytes = 64;
// One body chunk: content, more_content.
[[nodiscard]] Result<Bytes> encode_body_chunk(std::span<std::byte> space, Bytes content, bool more);
// What a chunk's keys add to its content.
inline constexpr size_t kChunkKeysBytes = 64;

// The Content-Type of a head; "" when absent.
[[nodiscard]] std::string_view content_type_of(const RequestHead& head) noexcept;

}  // namespace sluice
