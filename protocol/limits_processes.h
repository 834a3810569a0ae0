// protocol/limits_processes.h -- the part of limits.h that bounds processes, not messages: what a
// worker does in a turn of its loop, what the master allows. Include limits.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "protocol/limits_units.h"

namespace sluice::limits {

// ---- the worker's loop ----

// Output gathered within a turn of the loop and copied once; longer pieces go out from where they
// lie.
inline constexpr size_t kGatheredOutputBytes = 16 * kKiB;
// Buffers of a worker for output that a slow client makes wait, kept for the next ones, each at most
// kOutputSoftBytes. Beyond: freed, and made again when needed.
inline constexpr size_t kSpareBuffers = 64;
// Replies taken from one connection before the next has its turn: one full ring.
inline constexpr uint32_t kRepliesPerRound = 16;
// Connections and inbox messages served in one turn of the loop, so that sockets get theirs.
inline constexpr uint32_t kConnectionsPerTurn = 512;
inline constexpr uint32_t kInboxPerTurn = 256;
// Deadlines acted on in a turn: thousands of slow clients reach theirs together. Beyond: the next turn.
inline constexpr uint32_t kDeadlinesPerTurn = 128;
// Clients accepted at one listener in a turn. Beyond: the next turn.
inline constexpr uint32_t kAcceptedPerTurn = 64;
// Members of groups that get a message in one turn of the loop, and bytes for them all; a turn stays
// within a few milliseconds. Beyond: the next turn goes on, and the inbox waits until it is done.
inline constexpr size_t kGroupMembersPerTurn = 512;
inline constexpr size_t kGroupBytesPerTurn = 4 * kMiB;
// Names in one answer to who is in a group: fits a block of 72 KiB. Beyond: another answer.
inline constexpr size_t kGroupMembersPerAnswer = 512;
// Connections in one answer to which WebSockets there are, and bytes of it unless a single path is longer:
// fits a block of 72 KiB. A turn writes one answer. Beyond: another one.
inline constexpr size_t kListedPerAnswer = 512;
// Messages in the inbox of who asked. Beyond: it is answered no more.
inline constexpr uint32_t kListAnswersUnread = 256;
inline constexpr size_t kListedBytes = 60 * kKiB;
// Accepting rests this long when the system has no descriptor or no memory left. Beyond: tried again.
inline constexpr auto kAcceptPause = std::chrono::milliseconds(200);
// Connections refused at the door that may still linger with their 503. Beyond: closed at once.
inline constexpr uint32_t kRefusedAtDoor = 128;
// A line of the access log, newline included: what a pipe takes whole or not at all (PIPE_BUF). What it
// shows of a target, and of a referer or user agent, escapes included. Beyond: cut, and marked.
inline constexpr size_t kAccessLineBytes = 4 * kKiB;
inline constexpr size_t kAccessTargetBytes = 2 * kKiB;
inline constexpr size_t kAccessHeaderBytes = 640;
// Lines of the access log that wait to be written. Beyond: lost, and counted.
inline constexpr size_t kAccessBufferBytes = 64 * kKiB;
// Between two words about lines of the access log that were lost; between, they are counted.
inline constexpr auto kAccessComplaint = std::chrono::seconds(10);
// Descriptors a worker keeps for other things than clients: segment, arenas, doorbell, listeners.
inline constexpr uint32_t kReservedDescriptors = 64;

// ---- the master ----

// Workers: a row of the process table each, and another for each whose consumers still hold blocks
// of a dead one. Beyond: the option is refused.
inline constexpr uint32_t kWorkersMost = 128;
// Consumers attached at once: --max-consumers, and how far it may be raised. Beyond: refused at
// attach.
inline constexpr uint32_t kConsumers = 64;
inline constexpr uint32_t kConsumersMost = 512;
// Names of channels there may be at once; 9 KiB of address space each. Beyond: kChannelTableFull.
inline constexpr uint32_t kChannels = 1024;
// Names of groups that have channels as members, at once; 8 KiB of address space each. Beyond:
// kChannelTableFull. Groups of connections alone do not count.
inline constexpr uint32_t kGroups = 1024;
// Messages in one consumer's or worker's inbox. Beyond: kChannelFull.
inline constexpr uint32_t kInboxCapacity = 4096;
// Demo consumers; more show nothing more. Beyond: the option is refused.
inline constexpr uint32_t kDemoConsumersMost = 64;
// For the demo consumers to attach at the start. Beyond: the gateway is ready without them.
inline constexpr auto kDemoAttachTime = std::chrono::seconds(5);
// Open client connections of one worker. Beyond: accepting waits.
inline constexpr uint32_t kConnectionsPerWorker = 16384;
// What options may ask for: times, header lines, bodies. Beyond: the option is refused.
inline constexpr auto kOptionSecondsLeast = std::chrono::milliseconds(1);
inline constexpr auto kOptionSecondsMost = std::chrono::milliseconds(std::chrono::hours(24));
inline constexpr size_t kOptionHeadersMost = 1000;
inline constexpr uint64_t kOptionBodyMost = uint64_t{1} << 40;
// A configuration file; ours are a page long. Beyond: refused.
inline constexpr size_t kConfigFileBytes = 1 * kMiB;
// Connections the kernel completes before a worker accepts them; it may have a lower bound of its
// own. Beyond: clients try again.
inline constexpr int kListenBacklog = 4096;
// Sockets a supervisor may pass by LISTEN_FDS. Beyond: not listened on.
inline constexpr int kPassedSockets = 64;
// How long a port stays tried that the workers of a killed gateway are just closing. Beyond: busy.
inline constexpr auto kPortRetry = std::chrono::seconds(3);
// Sockets that said nothing of an attach yet. Beyond: the oldest is hung up on.
inline constexpr size_t kUnattachedSockets = 64;
// A process that lived less when it died waits longer before its next start.
inline constexpr auto kRestartShortLife = std::chrono::seconds(5);
// The second restart in a row waits this long, each further one twice as long, up to the second
// number.
inline constexpr auto kRestartDelay = std::chrono::milliseconds(100);
inline constexpr auto kRestartDelayMost = std::chrono::milliseconds(5000);
// A segment beyond repair is replaced; one that lived less when it was found so waits longer before
// the next: the second in a row this long, each further one twice as long, up to the last number.
// A consumer that scribbles again and again closes everybody's WebSockets no more often.
inline constexpr auto kReplaceShortLife = std::chrono::seconds(60);
inline constexpr auto kReplaceDelay = std::chrono::seconds(1);
inline constexpr auto kReplaceDelayMost = std::chrono::seconds(16);
// Workers that die before the gateway was ready. Beyond: it gives up, exit code 1.
inline constexpr int kStartDeaths = 5;
// From a worker's fork until it accepts. Beyond: killed, and started again.
inline constexpr auto kWorkerStartTimeout = std::chrono::seconds(30);
// What a process gets beyond the drain time, or after an order to leave now. Beyond: SIGKILL.
inline constexpr auto kLeaveGrace = std::chrono::milliseconds(1000);
// Between two looks of recovery at what has to wait: the first, then doubling up to the second.
inline constexpr auto kRecoveryInterval = std::chrono::milliseconds(1);
inline constexpr auto kRecoveryIntervalMost = std::chrono::milliseconds(100);
// Between two tries to send a disconnect that found no room.
inline constexpr auto kDisconnectRetry = std::chrono::milliseconds(10);
// Between two looks whether a process that hung up without dying still has its arena mapped: the
// first, then doubling up to the second.
inline constexpr auto kDetachLook = std::chrono::milliseconds(5);
inline constexpr auto kDetachLookMost = std::chrono::milliseconds(2000);

}  // namespace sluice::limits
