// protocol/http.h -- the messages of HTTP: their channels, their fields. More in README.md.
#pragma once

#include "protocol/field.h"
#include "protocol/limits.h"

namespace sluice {

inline constexpr std::string_view kHttpRequestChannel = "http.request";
inline constexpr std::string_view kHttpDisconnectChannel = "http.disconnect";
// Followed by `?` and an address, see ReplyChannelName.
inline constexpr std::string_view kHttpRequestBodyChannel = "http.request.body";

// http.request -- one per request, sent before any body chunk.
//   from worker   to any one consumer   channel "http.request" (normal)
//   full  the client gets 503 and the connection closes (worker/backpressure.h)
inline constexpr Field kHttpRequest[] = {
    // GET, POST -- query and form variables
    //   unit    pairs [name, value] of text, in the order of arrival, duplicates kept
    //   errors  none: a query or form that breaks its bounds is a 400 or 413 and no message is sent
    {"GET", Type::kList, Need::kAlways, limits::kFormFields},
    {"POST", Type::kList, Need::kAlways, limits::kFormFields + limits::kMultipartExtraFields},
    // COOKIES, META -- text to text, as Django's request has them
    {"COOKIES", Type::kMap, Need::kAlways},
    {"META", Type::kMap, Need::kAlways},
    // path, path_info -- percent-decoded once; with the root path, and without
    {"path", Type::kText, Need::kAlways},
    {"path_info", Type::kText, Need::kAlways},
    {"method", Type::kText, Need::kAlways},
    // response_channel -- where to write the response; good for this exchange and no other
    {"response_channel", Type::kText, Need::kAlways, limits::kChannelNameBytes},
    // FILES -- files of a multipart form: maps {name, filename, content_type, content}
    {"FILES", Type::kList, Need::kOptional, limits::kFormFiles},
    // body -- the first bytes of the request body, after chunked decoding (RFC 9112 section 7.1)
    //   unit    bytes; a longer body continues on body_channel
    //   absent  same as empty
    //   errors  none: a body that breaks framing is a 400 and no message is sent
    {"body", Type::kBytes, Need::kOptional, limits::kInlineBodyBytes},
    // body_channel, more_content -- where the rest of the body comes, and whether there is any
    {"body_channel", Type::kText, Need::kOptional, limits::kChannelNameBytes},
    {"more_content", Type::kBoolean, Need::kOptional},
    // headers -- pairs [name, value] of bytes: names in lower case, values untouched
    {"headers", Type::kList, Need::kOptional, limits::kHeaderFields},
    // raw_path, query_string -- as on the wire
    {"raw_path", Type::kBytes, Need::kOptional, limits::kTargetBytes},
    {"query_string", Type::kBytes, Need::kOptional, limits::kTargetBytes},
    // scheme, http_version, client, server, root_path -- as ASGI has them; client and server are
    // lists [host, port]
    {"scheme", Type::kText, Need::kOptional},
    {"http_version", Type::kText, Need::kOptional},
    {"client", Type::kList, Need::kOptional, 2},
    {"server", Type::kList, Need::kOptional, 2},
    {"root_path", Type::kText, Need::kOptional},
};

// http.request.body -- the rest of a longer body, in order, as it arrives.
//   from worker   to the consumer that took the request   channel body_channel (single-reader)
//   full  the worker stops reading the socket; TCP pushes back
inline constexpr Field kHttpRequestBodyChunk[] = {
    {"content", Type::kBytes, Need::kAlways, limits::kBodyChunkBytes},
    // more_content -- false, or absent, in the last chunk
    {"more_content", Type::kBoolean, Need::kOptional},
};

// http.disconnect -- the client went away before the response was complete. The fields of
// http.request without a body; nothing should be sent on its response_channel.
//   from worker   to the consumer that took the request   channel "http.disconnect"
//   full  it has a place kept for it

// The answer to a request.
//   from consumer   to the worker   channel response_channel (process-specific)
//   full  the consumer is told so and may wait
//   wrong the client gets 502; a counter says why
inline constexpr Field kHttpResponse[] = {
    // status_code -- 200 to 599
    {"status_code", Type::kInteger, Need::kAlways},
    // content -- the body, or its beginning
    //   absent  same as empty
    {"content", Type::kText | Type::kBytes, Need::kOptional, limits::kMessageBytes},
    // content_type -- sent as Content-Type, unless headers has one
    {"content_type", Type::kText, Need::kOptional, limits::kHeaderLineBytes},
    // headers -- name to value, or name to a list of values, one line each; or a list of pairs.
    //   Names and values are text or bytes
    //   errors  CR, LF or NUL in one: 502
    {"headers", Type::kMap | Type::kList, Need::kOptional, limits::kResponseHeaderFields},
    // more_content -- true: Response Chunks follow
    {"more_content", Type::kBoolean, Need::kOptional},
};

// One more piece of an answer that said more_content; same channel, same rules.
inline constexpr Field kHttpResponseChunk[] = {
    {"content", Type::kText | Type::kBytes, Need::kOptional, limits::kMessageBytes},
    // more_content -- false, or absent, in the last piece
    {"more_content", Type::kBoolean, Need::kOptional},
};

}  // namespace sluice
