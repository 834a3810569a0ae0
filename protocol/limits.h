// protocol/limits.h -- every limit: its unit, its default, why that number, what happens beyond it.
//
// Messages and connections stand in this file; how long we wait in limits_time.h, what a worker and
// the master allow themselves in limits_processes.h. Include this one.
//
// L1  A number that bounds what clients or other processes can make us do stands here, only here.
// L2  Sizes are bytes of content; what the encoding adds has an allowance, kEncodingSlackBytes.
// L3  Units: sizes end in Bytes, durations are std::chrono, everything else counts things.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "protocol/limits_processes.h"
#include "protocol/limits_time.h"
#include "protocol/limits_units.h"

namespace sluice::limits {

// ---- names and encoding ----

// Longest channel or group name. Fits a reply address twice over. Beyond: kChannelNameInvalid.
inline constexpr size_t kChannelNameBytes = 200;
// What keys, tags and parsed copies of the head may add to a message's content, so that a limit on
// content never fails by its wrapping (decisions.md 12). Beyond: kMessageTooLarge.
inline constexpr size_t kEncodingSlackBytes = 128 * kKiB;
// Containers within containers we write; ours go to 4. Beyond: CHECK, the depth is our choice.
inline constexpr uint32_t kEncodeDepth = 8;
// Containers within containers we read; enough for users' own messages, little for the stack.
// Beyond: kMessageMalformed.
inline constexpr uint32_t kDecodeDepth = 16;
// Elements of one list or map that we write; its count is 16 bits wide. Beyond: kMessageTooLarge.
inline constexpr uint32_t kContainerElements = 65535;

// ---- request heads ----

// Request line and header lines together; what nginx and node take. Beyond: 431 and close.
inline constexpr size_t kHeadBytes = 16 * kKiB;
// Header lines of one head; browsers send below 30. Beyond: 431 and close.
inline constexpr size_t kHeaderFields = 100;
// One header line. Beyond: 431 and close.
inline constexpr size_t kHeaderLineBytes = 8 * kKiB;
// The request target, in the request line. Beyond: 414 and close.
inline constexpr size_t kTargetBytes = 8 * kKiB;
// Empty lines before a request line; old clients send one after a body. Beyond: 400 and close.
inline constexpr size_t kLeadingEmptyLines = 1;
// Trailer lines and bytes after a chunked body; read and dropped. Beyond: 431 and close.
inline constexpr size_t kTrailerFields = 32;
inline constexpr size_t kTrailerBytes = 8 * kKiB;

// ---- pages and proxies before us ----

// Origins of --allowed-origins, each looked at in turn for a handshake. Beyond: the option is refused.
inline constexpr size_t kAllowedOrigins = 256;

// Networks of --trusted-proxies or of --proxy-protocol; a large CDN has 300. Beyond: the option is refused.
inline constexpr size_t kProxyNetworks = 1024;
// Trusted proxies between a client and us that a list is read through; a chain has a handful. Beyond: the
// last one read counts as the client.
inline constexpr size_t kForwardedHops = 64;
// A PROXY header of version 1, as its specification bounds it. Beyond: the connection is cut.
inline constexpr size_t kProxyLineBytes = 107;
// One of version 2, whose length field could say 64 KiB; addresses and a client's certificate take a few
// hundred bytes. Beyond: the connection is cut.
inline constexpr size_t kProxyHeaderBytes = 4 * kKiB;

// ---- request bodies ----

// Body after chunked decoding. Beyond: 413, by the length given or when the bytes pass it, and
// close.
inline constexpr size_t kBodyBytes = 8 * kMiB;
// What travels in the message itself; the rest goes to body_channel. With a head one block of the
// 72 KiB class, and most bodies there are. Beyond: body chunks.
inline constexpr size_t kInlineBodyBytes = 64 * kKiB;
// One body chunk message. Beyond: another chunk.
inline constexpr size_t kBodyChunkBytes = 64 * kKiB;
// Body chunks of one request that no consumer has read (decisions.md 19). Beyond: stop reading the
// socket, so TCP pushes back.
inline constexpr uint32_t kUnreadBodyChunks = 4;
// Digits of a chunk size: 8 hold any size within kBodyBytes many times over. Beyond: 400 and close.
inline constexpr size_t kChunkSizeDigits = 8;
// Chunk extensions of one chunk, and of one body; nobody uses them but attackers (CVE-2023-39326).
// Beyond: 400 and close.
inline constexpr size_t kChunkExtensionBytes = 256;
inline constexpr size_t kChunkExtensionsTotalBytes = 4 * kKiB;

// ---- forms, as Django has them ----

// Fields of a query or an urlencoded form: 1 + number of `&`. Beyond: 400.
inline constexpr size_t kFormFields = 1000;
// A multipart form may have this many more, for the raw pieces around its outer boundaries.
inline constexpr size_t kMultipartExtraFields = 2;
// Files of a multipart form. Beyond: 400.
inline constexpr size_t kFormFiles = 100;
// Headers of one part. Beyond: they are not seen, and the part is skipped.
inline constexpr size_t kPartHeaderBytes = 1024;
// A boundary: one printable character, then up to 200. Beyond: 400.
inline constexpr size_t kBoundaryBytes = 201;
// An urlencoded body, or names and values of a multipart form's fields (files do not count):
// 2.5 MiB. Beyond: 413.
inline constexpr size_t kFormFieldsBytes = 2621440;
// A file's name. Beyond: cut, the extension is kept.
inline constexpr size_t kFileNameCharacters = 255;

// ---- answers ----

// Header lines of one response. Beyond: the answer is refused, the client gets 502.
inline constexpr size_t kResponseHeaderFields = 200;
// Header lines of one response together. Beyond: as above.
inline constexpr size_t kResponseHeadBytes = 64 * kKiB;
// The value of Server, where an option asks for one; a product name and what is said of it. Beyond:
// the option is refused.
inline constexpr size_t kServerHeaderBytes = 256;
// Requests of one connection read and not yet answered. Beyond: stop reading the socket.
inline constexpr uint32_t kPipelinedRequests = 64;
// Output waiting in the worker for one socket. Soft: its reply ring gets no more credit.
inline constexpr size_t kOutputSoftBytes = 64 * kKiB;
// Hard: only the answer at the head of the line may grow, no request is read (decisions.md 21).
inline constexpr size_t kOutputHardBytes = 1 * kMiB;

// Answers of one connection that came before their turn, kept by the worker: one of the largest and
// then some. Beyond: the answer that passes it is refused, its client gets 502.
inline constexpr size_t kAnswersAheadBytes = 17 * kMiB;
// Read and dropped after the last answer of a connection that we close, so that a reset does not
// eat that answer: what the buffers of both sockets may hold (4 and 6 MiB) and a body a bit beyond its
// limit. Beyond: the connection is closed.
inline constexpr size_t kLingerBytes = 16 * kMiB;

// ---- channels and messages ----

// Messages in one channel (normal and single-reader). Beyond: kChannelFull.
inline constexpr uint32_t kChannelCapacity = 1024;
// What an option may ask for as a channel's capacity: every channel then gets so many cells, 8 bytes
// of address space each. Beyond: the option is refused.
inline constexpr uint32_t kChannelCapacityMost = 65536;
// Payload in one channel, approximately (decisions.md 12): messages longer than their even share of
// it are counted, the capacity bounds the others. Beyond: kChannelFull.
inline constexpr size_t kChannelBytes = 16 * kMiB;
// What is always carried in one piece.
inline constexpr size_t kWholeMessageBytes = 1 * kMiB;
// One message of any kind. Beyond: kMessageTooLarge at the sender.
inline constexpr size_t kMessageBytes = 16 * kMiB;
// How long a message lies unread; monotonic clock. Beyond: dropped and counted, never delivered.
inline constexpr auto kMessageExpiry = std::chrono::seconds(60);
// What a channel's expiry may be set to: the kernel's clock ticks each 10 ms at the slowest, and
// what lies unread for a day is forgotten. Beyond: refused.
inline constexpr auto kExpiryLeast = std::chrono::milliseconds(10);
inline constexpr auto kExpiryMost = std::chrono::milliseconds(std::chrono::hours(24));
// How long a group membership lives. Beyond: it ends.
inline constexpr auto kGroupExpiry = std::chrono::hours(24);
// Groups of one connection; what a busy client joins, and a bound on a worker's tables. Beyond: not
// added, and counted.
inline constexpr size_t kGroupsPerConnection = 256;

// ---- WebSocket ----

// One message, its fragments together. Beyond: close with 1009.
inline constexpr size_t kWebSocketMessageBytes = 1 * kMiB;
// Fragments of one message; they are put together as they come and cost nothing after that. The
// most seen is 65537: 4 MiB in pieces of 64 bytes, then an empty one (case 9.3.1 of the
// Autobahn|Testsuite). Beyond: close with 1009.
inline constexpr uint32_t kWebSocketFragments = 128 * 1024;
// A message shorter than this is sent as it is: deflated alone it would hardly be shorter.
inline constexpr size_t kDeflateLeastBytes = 256;
// Frame readers, with their message buffers, that a worker keeps for the next unfinished message;
// as many as are seldom unfinished at once. Beyond: freed, and made again when needed.
inline constexpr size_t kSpareFrameReaders = 16;
// What such a message buffer may keep allocated. Beyond: freed.
inline constexpr size_t kSpareMessageBytes = 64 * kKiB;
// A close reason, in UTF-8: a control frame holds 125 bytes, 2 of them the code (RFC 6455 section
// 5.5). Beyond: cut at a character.
inline constexpr size_t kCloseReasonBytes = 123;
// Header lines a consumer adds to a handshake's answer. Beyond: the handshake is refused with 502.
inline constexpr size_t kAcceptHeaderFields = 32;
// Sub-protocols a client offers. Beyond: 400.
inline constexpr size_t kSubprotocols = 32;
// Nothing received for this long: a ping is sent. Then nothing for kPingTimeout: cut.
inline constexpr auto kPingInterval = std::chrono::seconds(20);
inline constexpr auto kPingTimeout = std::chrono::seconds(20);
// For a consumer to accept, where it decides. Beyond: 504.
inline constexpr auto kAcceptTimeout = std::chrono::seconds(10);
// For a receive that no consumer takes (decisions.md 24). Beyond: close with 1013.
inline constexpr auto kReceiveTimeout = std::chrono::seconds(30);
// For the client's close frame after ours. Beyond: the socket is closed.
inline constexpr auto kCloseTimeout = std::chrono::seconds(5);

}  // namespace sluice::limits
