// consumer/demo/chat.h -- one chat shared by all demo processes.
//
// Everybody in it is a member of the group `demo.chat`, kept by the gateway: what one says is one
// message to the group, whichever process hears it first, and the death of a process silences nobody.
// The processes tell each other only who is here, on channels of their own, `demo.chat.<number>`:
//
//   {"hello": number}                     from one that starts: tell me whom you know
//   {"members": [[reply channel, name]…], "answer": bool}   they came
//   {"left": [reply channel…]}
//
// T1  Each of these may come twice, late, or for a member long gone: the end is the same.
// T2  A member's name stands in the query of its connection, which each of its messages repeats: so
//     whoever takes over a dead process's member, at its next message, needs nobody else.
// T3  "Who is here" is told to the group by the lowest living number; it hears of every change.
// T4  A member is gone when its disconnect says so, or its connection is not open any more. One that
//     stays longer than the gateway's --group-expiry is added again when it speaks.
//
// To the page, each a text message with a JSON object:
//   {"type":"welcome","name","by","id"}  {"type":"message","from","id","text","at","by"}
//   {"type":"here","names":[…],"count"}
// `id` tells the page which messages are its own. From the page: what was said, as it is.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>

#include "consumer/consumer.h"
#include "consumer/address_hash.h"

namespace sluice::demo {

class Chat {
 public:
  explicit Chat(Consumer& consumer) : consumer_(consumer) {}

  // The channel on which other demo processes talk to us; to be read.
  [[nodiscard]] static std::string channel_of(uint32_t number);
  // Asks the others who is there, and waits for their answers a short while.
  void start();

  void connected(const Message& message);
  void said(const Message& message);
  void disconnected(const Message& message);
  void from_process(const Message& message);
  // After a burst of messages: tells members who is here, if that changed.
  void tell_who_is_here();
  [[nodiscard]] bool changed() const noexcept { return changed_; }

 private:
  struct Member {
    std::string name;
    std::chrono::steady_clock::time_point added{};  // to the group, by us; or never
  };

  [[nodiscard]] const Member& take(const Message& message);
  bool remove(const ReplyAddress& address);
  void tell_processes(Fields fields);
  void tell_members_to(uint32_t number);
  [[nodiscard]] bool is_alive(uint32_t number);
  void tell_everybody(std::string_view text);

  Consumer& consumer_;
  std::unordered_map<ReplyAddress, Member, AddressHash> members_;
  size_t answers_ = 0;
  bool changed_ = false;
};

}  // namespace sluice::demo
