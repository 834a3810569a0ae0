// worker/counters.h -- every drop and refusal by its reason, in one table. Plain numbers of one
// worker, one thread; what happens per request is counted here, never logged.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

enum class Counter : uint8_t {
  // traffic
  kConnections,
  kRequests,
  kAnswers,
  kWebSockets,
  // what clients did
  kRefusedProxyHeaders,
  kRefusedHeads,
  kRefusedForms,
  kRefusedHandshakes,
  kHeaderTimeouts,
  kBodyTimeouts,
  kSendTimeouts,
  kPingTimeouts,
  kClientsGone,
  // what was full or missing
  kTooManyConnections,
  kTooManyOfAddress,
  kChannelFull,
  kOutOfBlocks,
  kMessageTooLarge,
  kNoConsumer,
  kUnreadInTime,
  kUnansweredInTime,
  kReceivesUntaken,
  kConnectsUntaken,
  kSlowClients,
  // what consumers did
  kTakerDied,
  kLateAnswers,
  kMalformedAnswers,
  kInjections,
  kLengthMismatches,
  kTornRequests,
  kTornAnswers,
  kOversizedAnswers,
  kMisaddressed,
  kReceivesLost,
  kTooManyGroups,
  kGroupMessagesLost,
  kGroupAnswersLost,
  kListAnswersLost,
  // what was sent for the record
  kWithdrawn,
  kHttpDisconnects,
  kWebSocketDisconnects,
  kResent,
  kGroupMessages,
  kGroupFrames,
  kGroupMembersFull,
  kAccessLinesLost,
  kCount,
};
inline constexpr size_t kCounters = static_cast<size_t>(Counter::kCount);

struct CounterRow {
  Counter counter;
  std::string_view name;
  std::string_view meaning;
};
inline constexpr std::array<CounterRow, kCounters> kCounterTable = {{
    {Counter::kConnections, "connections", "accepted"},
    {Counter::kRequests, "requests", "published on http.request"},
    {Counter::kAnswers, "answers", "completed, by consumers"},
    {Counter::kWebSockets, "websockets", "published on websocket.connect"},
    {Counter::kRefusedProxyHeaders, "refused_proxy_headers", "none, malformed or late where one is due: cut"},
    {Counter::kRefusedHeads, "refused_heads", "malformed or over a limit: 4xx or 5xx, then close"},
    {Counter::kRefusedForms, "refused_forms", "a form or query over a limit or malformed: 400 or 413"},
    {Counter::kRefusedHandshakes, "refused_handshakes", "an upgrade that is none, or of another origin: 400, 403, 405 or 426"},
    {Counter::kHeaderTimeouts, "header_timeouts", "a head that did not come in time: 408"},
    {Counter::kBodyTimeouts, "body_timeouts", "a body that stopped coming: 408"},
    {Counter::kSendTimeouts, "send_timeouts", "a client that took nothing: cut"},
    {Counter::kPingTimeouts, "ping_timeouts", "a WebSocket that fell silent: cut"},
    {Counter::kClientsGone, "clients_gone", "left before their answer was complete"},
    {Counter::kTooManyConnections, "too_many_connections", "no slot or descriptor left: 503, close"},
    {Counter::kTooManyOfAddress, "too_many_of_address", "no more from one client address: 503, close"},
    {Counter::kChannelFull, "channel_full", "request or connect refused: 503"},
    {Counter::kOutOfBlocks, "out_of_blocks", "our arena had none left: 503"},
    {Counter::kMessageTooLarge, "message_too_large", "does not fit a message: 413"},
    {Counter::kNoConsumer, "no_consumer", "held, and no reader came: 503"},
    {Counter::kUnreadInTime, "unread_in_time", "not taken by its deadline: 503"},
    {Counter::kUnansweredInTime, "unanswered_in_time", "taken and not answered: 504"},
    {Counter::kReceivesUntaken, "receives_untaken", "the owner's inbox stayed full: 1013"},
    {Counter::kConnectsUntaken, "connects_untaken", "nobody took the connect: 1013 or 503"},
    {Counter::kSlowClients, "slow_clients", "output over the hard bound: 1013 or cut"},
    {Counter::kTakerDied, "taker_died", "request in a dead consumer's hands: 502"},
    {Counter::kLateAnswers, "late_answers", "for an exchange that is over: dropped"},
    {Counter::kMalformedAnswers, "malformed_answers", "not what messages.md says: 502"},
    {Counter::kInjections, "injections", "CR, LF or NUL in an answer's header: 502"},
    {Counter::kLengthMismatches, "length_mismatches", "more or less than Content-Length: cut"},
    {Counter::kTornRequests, "torn_requests", "the echoed generation differs: 502"},
    {Counter::kTornAnswers, "torn_answers", "written over while it was read: cut"},
    {Counter::kOversizedAnswers, "oversized_answers", "over a limit: 502"},
    {Counter::kMisaddressed, "misaddressed", "names no connection of ours: dropped"},
    {Counter::kReceivesLost, "receives_lost", "in a dead consumer's hands"},
    {Counter::kTooManyGroups, "too_many_groups", "a connection in as many as it may: not added"},
    {Counter::kGroupMessagesLost, "group_messages_lost", "expired or overwritten before they were read"},
    {Counter::kGroupAnswersLost, "group_answers_lost", "the members' names found no room: not told"},
    {Counter::kListAnswersLost, "list_answers_lost", "which WebSockets there are found no room: not told"},
    {Counter::kWithdrawn, "withdrawn", "taken back, the client had left"},
    {Counter::kHttpDisconnects, "http_disconnects", "sent"},
    {Counter::kWebSocketDisconnects, "websocket_disconnects", "sent"},
    {Counter::kResent, "resent", "receives and disconnects handed back by recovery and sent again"},
    {Counter::kGroupMessages, "group_messages", "with members here, framed once each"},
    {Counter::kGroupFrames, "group_frames", "of those, written to members"},
    {Counter::kGroupMembersFull, "group_members_full", "of those, skipped: the member reads slowly"},
    {Counter::kAccessLinesLost, "access_lines_lost", "the access log took no more"},
}};

constexpr bool counter_table_in_order() noexcept {
  for (size_t i = 0; i < kCounters; ++i) {
    if (static_cast<size_t>(kCounterTable[i].counter) != i) return false;
  }
  return true;
}
static_assert(counter_table_in_order());

class Counters {
 public:
  void add(Counter counter, uint64_t times = 1) noexcept { values_[static_cast<size_t>(counter)] += times; }
  [[nodiscard]] uint64_t operator[](Counter counter) const noexcept {
    return values_[static_cast<size_t>(counter)];
  }

 private:
  std::array<uint64_t, kCounters> values_{};
};

}  // namespace sluice
