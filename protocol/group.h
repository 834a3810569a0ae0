// protocol/group.h -- what consumers ask of a worker about groups, on logical channels of its inbox;
// the connection an add or a discard is about stands beside the message, as that of a reply does.
#pragma once

#include "protocol/field.h"

namespace sluice {

// group.add, group.discard. Adding twice is adding once; discarding who is no member says nothing.
//   full  the consumer is told so and may wait
//   wrong it is dropped and counted
inline constexpr Field kGroupChange[] = {
    {"group", Type::kText, Need::kAlways, limits::kChannelNameBytes},
};

// group.list, from a consumer.
inline constexpr Field kGroupList[] = {
    {"group", Type::kText, Need::kAlways, limits::kChannelNameBytes},
    // request -- whatever the asker chose: it comes back with the answer
    {"request", Type::kInteger, Need::kAlways},
    // incarnation -- the asker's; its row of the process table stands in the payload's header
    {"incarnation", Type::kInteger, Need::kAlways},
};

// group.list, from a worker.
//   full  it is not sent: the asker has a deadline
inline constexpr Field kGroupMembers[] = {
    {"group", Type::kText, Need::kAlways, limits::kChannelNameBytes},
    {"request", Type::kInteger, Need::kAlways},
    // members -- names of reply channels, in no order
    {"members", Type::kList, Need::kAlways, limits::kGroupMembersPerAnswer},
    // more_content -- true: another answer follows
    {"more_content", Type::kBoolean, Need::kAlways},
};

// group.send: a notice. The payload's header names the block that all workers share.
inline constexpr Field kGroupNotice[] = {
    {"group", Type::kText, Need::kAlways, limits::kChannelNameBytes},
};

// group.flush carries nothing: every membership of the worker's connections ends.

// That payload, as connections understand it; a plain channel gets any map.
inline constexpr Field kGroupMessage[] = {
    {"content", Type::kText | Type::kBytes, Need::kAlways, limits::kMessageBytes},
    // binary -- which kind of frame
    //   absent  the type of content decides
    {"binary", Type::kBoolean, Need::kOptional},
};

}  // namespace sluice
