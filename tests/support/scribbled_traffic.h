// tests/support/scribbled_traffic.h -- a worker, two consumers and a master at work on one segment,
// while somebody who mapped the control segment writes into it whatever a source of choices says.
//
// Every message says in its content whose it is. What is watched, whatever is written:
// S1  What is received under an address is what was sent under that address, byte for byte.
// S2  A block that an open exchange is told by is not written to before the exchange is over.
// S3  Every call ends; nothing is read or written outside (the sanitizers watch that).
// S4  What recovery keeps and does is bounded.
// A promise that does not hold is a line of `broken`.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "shm/connection_slots.h"
#include "tests/support/shm_world.h"

namespace sluice::tests {

class ScribbledTraffic {
 public:
  // `choose(n)` gives a number below n; it decides everything.
  using Choose = std::function<uint64_t(uint64_t)>;
  explicit ScribbledTraffic(Choose choose);

  void work();      // one thing an honest process does
  void scribble();  // one word, chosen, of anything in the control segment
  void die();       // the second consumer dies and is recovered; another comes when there is room

  [[nodiscard]] const std::string& broken() const noexcept { return broken_; }
  [[nodiscard]] uint64_t received() const noexcept { return received_; }
  [[nodiscard]] World& world() noexcept { return world_; }

 private:
  struct Exchange {
    uint32_t slot, generation, ordinal;
    shm::Sent sent;
    std::string held;  // what our block must hold until the exchange is over
  };
  struct Writing {
    shm::Claim claim;
    std::string text;
    ReplyAddress about;
  };
  struct Reading {
    shm::Delivery delivery;
    std::string text;
  };
  struct Consumer {
    Consumer(World& world, shm::ProcessName name) : member(world, name) {}
    Member member;
    std::deque<Reading> reading;
  };

  [[nodiscard]] ReplyAddress address_of(uint32_t slot, uint32_t ordinal) const;
  [[nodiscard]] std::string text_about(const ReplyAddress& about, size_t length) const;
  [[nodiscard]] size_t some_length();
  void open_slot();
  void close_slot();
  void begin_request();
  void send_request();
  void end_exchange();
  void send_to_inbox();
  void take(Consumer& consumer);
  void answer(Consumer& consumer);
  void drain();
  void check(const shm::Delivery& delivery, std::string_view where);
  void check_held();
  void say(std::string_view what);
  [[nodiscard]] shm::Word& any_word();
  [[nodiscard]] uint64_t any_value(const shm::Word& word);
  void push_like_an_honest_one();

  Choose choose_;
  World world_;
  Member master_;
  shm::Recovery recovery_;
  Member worker_;
  shm::ConnectionSlots slots_;
  uint32_t channel_;
  std::vector<std::unique_ptr<Consumer>> consumers_;
  std::vector<shm::ConnectionSlots::Opened> open_;
  std::vector<Exchange> exchanges_;
  std::deque<Writing> writing_;
  std::vector<uint64_t> seen_values_;  // words as they once were
  uint32_t ordinal_ = 0;
  uint64_t received_ = 0;
  std::string broken_;
};

}  // namespace sluice::tests
