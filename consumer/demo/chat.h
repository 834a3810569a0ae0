// consumer/demo/chat.h -- one chat shared by all demo processes.
//
// Every process knows every member: its reply channel, its name, and the number of the process that
// took it. So who hears a member speak sends that straight to everybody, whoever took them, and the
// death of a process silences nobody. The processes tell each other who came and went on channels
// of their own, `demo.chat.<number>`:
//
//   {"hello": number}                          from one that starts: tell me whom you know
//   {"members": [[reply channel, name, taker]…], "answer": bool}   they came, or were taken over
//   {"left": [reply channel…]}
//
// T1  Each of these may come twice, late, or for a member long gone: the end is the same.
// T2  A member's name stands in the query of its connection, which each of its messages repeats: so
//     whoever takes over a dead process's member, at its next message, needs nobody else.
// T3  "Who is here" is told to a member by the process that took it, or, when that one is dead, by
//     the lowest living number.
// T4  A member that cannot be sent to is gone when the gateway says so, and left out when it is
// slow.
//
// To the page, each a text message with a JSON object:
//   {"type":"welcome","name","by"}  {"type":"message","from","text","at","by","you"}
//   {"type":"here","names":[…],"count"}
// From the page: what was said, as it is.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "consumer/consumer.h"
#include "consumer/demo/address_hash.h"

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
    uint32_t taker = 0;
  };

  [[nodiscard]] const Member& take(const Message& message);
  bool remove(const ReplyAddress& address);
  void tell_processes(Fields fields);
  void tell_members_to(uint32_t number);
  [[nodiscard]] bool is_alive(uint32_t number);
  [[nodiscard]] bool send(const ReplyAddress& member, std::string_view text);
  void send_to_all(std::string_view text, const ReplyAddress& speaker,
                   std::string_view speakers_text);

  Consumer& consumer_;
  std::unordered_map<ReplyAddress, Member, AddressHash> members_;
  size_t answers_ = 0;
  bool changed_ = false;
};

}  // namespace sluice::demo
