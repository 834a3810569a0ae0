// protocol/limits_time.h -- the part of limits.h that says how long we wait. Include limits.h.
#pragma once

#include <chrono>

namespace sluice::limits {

// From the first byte of a head to its last. Beyond: 408 and close.
inline constexpr auto kHeaderTimeout = std::chrono::seconds(30);
// Between two reads of a body. Beyond: 408 and close.
inline constexpr auto kBodyTimeout = std::chrono::seconds(30);
// For a client to take anything of what waits for it. Beyond: the connection is cut.
inline constexpr auto kSendTimeout = std::chrono::seconds(30);
// Between two requests. Beyond: close, without a word.
inline constexpr auto kKeepaliveTimeout = std::chrono::seconds(75);
// From published to answered (decisions.md 25). Beyond: 504.
inline constexpr auto kAnswerTimeout = std::chrono::seconds(60);
// For a consumer of the channel to appear. Beyond: 503 with Retry-After.
inline constexpr auto kHoldTimeout = std::chrono::seconds(10);
// A consumer that takes nothing from its inbox gets no new work (decisions.md 24).
inline constexpr auto kStuckTimeout = std::chrono::seconds(30);
// For the client to close after our last answer. Beyond: we do.
inline constexpr auto kLingerTimeout = std::chrono::seconds(2);
// Between two lines in the log about refused requests: clients must not fill a disk. Beyond: counted in
// the next line.
inline constexpr auto kRefusalLogInterval = std::chrono::seconds(1);
// For a reader that was rung to empty its channel. Beyond: another is rung, and so on.
inline constexpr auto kSecondRing = std::chrono::milliseconds(100);
// Between two attempts at what waits for another process to read: nobody rings for it.
inline constexpr auto kRetryInterval = std::chrono::milliseconds(5);
// For what is open when the gateway is told to end. Beyond: cut.
inline constexpr auto kDrainTimeout = std::chrono::seconds(30);
// Between two WebSockets that a worker closes when it leaves, at most: less where they are so many that they
// would not be done in the drain time. Ten come back in a second then, not all in one moment; and who has a
// few open does not wait.
inline constexpr auto kLeavingPace = std::chrono::milliseconds(100);
// For a client on whose connection nothing is asked when its worker leaves: what it asks may be on the way.
// And for a WebSocket that no consumer had taken when its worker left. Beyond: closed.
inline constexpr auto kLeavingPatience = std::chrono::seconds(1);
// Between two looks for a row that a rolling restart can start its next worker in.
inline constexpr auto kRollRetry = std::chrono::milliseconds(500);
// For the gateway to answer a consumer that asks for an arena; it answers within a loop turn, and has
// time to be late on a machine with too much to do.
// Beyond: the message whose payload lies there is dropped and counted.
inline constexpr auto kArenaAnswerTimeout = std::chrono::milliseconds(5000);
// For each step of a consumer's handshake with the gateway, on either side. Beyond: hung up on.
inline constexpr auto kAttachTimeout = std::chrono::seconds(5);
// A ring that a consumer put off because more messages waited for it, at most; a tenth of what a
// client notices. Beyond: it rings before it takes the next message.
inline constexpr auto kRingDelay = std::chrono::milliseconds(1);
// A message handled faster than this is handled before another process could be woken for it (30 to
// 95 us across cores). Beyond: a consumer neither puts off rings nor keeps a backlog to itself.
inline constexpr auto kQuickMessage = std::chrono::microseconds(50);
// A sleep with work pending, at most: a belt, should a wake-up be lost (decisions.md 20).
inline constexpr auto kBoundedSleep = std::chrono::milliseconds(100);
// Between two looks of a sender that waits for room where nobody is sure to ring it: blocks of its own
// come back without a ring, and a connection's reply ring knows one waiter only.
inline constexpr auto kLookForRoom = std::chrono::milliseconds(1);

}  // namespace sluice::limits
