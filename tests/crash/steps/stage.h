// tests/crash/steps/stage.h -- the processes among which one is killed or frozen, and the account of
// every message and block at the end.
//
// A worker, a consumer that reads, a master that recovers, and another consumer that died with
// something in hand and was not buried yet. They all live in the test's own process, and can be put
// back to an earlier moment, as far as they themselves go (Moment); what they share is SharedImage's.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tests/support/shm_world.h"

namespace sluice::tests {

// What the process under the knife says about its operation when it came to its end.
struct Report {
  static constexpr size_t kTexts = 8;
  bool refused = false;  // the operation said no
  Error error{};         // and why
  uint32_t number = 0;   // what an operation gave
  uint32_t pushes = 0;   // of a group send: notices; and who was skipped
  uint32_t skipped = 0;
  size_t received = 0;   // messages
  struct Message {
    char name[24];
    size_t bytes;
    bool whole;  // every byte as its name says
  };
  std::array<Message, kTexts> messages{};
};

// What was not as it must be.
struct Broken {
  std::string what;
};

class Stage {
 public:
  explicit Stage(shm::Role victims_role);

  // Throws Broken unless it held.
  static void expect(bool held, std::string_view what) {
    if (!held) throw Broken{std::string(what)};
  }

  // -- messages: a name, and bytes that follow from it
  // A new one; `kept`: it must reach somebody, or come back, exactly once. Else at most once.
  std::string name_message(char kind, size_t bytes = 20, bool kept = true);
  [[nodiscard]] std::string bytes_of(const std::string& name) const;
  [[nodiscard]] bool holds(const shm::Delivery& found, const std::string& name) const;  // those bytes
  void must_arrive(const std::string& name) { ledger_.fates.at(name).kept = true; }
  void withdrawn(const std::string& name) { ledger_.fates.at(name) = {20, false, 0, true}; }
  [[nodiscard]] bool arrived(const std::string& name) const { return ledger_.fates.at(name).arrived != 0; }
  void never_sent(const std::string& name) { ledger_.fates.erase(name); }
  void worker_sends(uint32_t count, size_t bytes = 20);       // to the channel
  void worker_sends_to(shm::ProcessName reader, uint32_t count);  // to an inbox
  // A group: three channels that the reader reads, the second of them full, and the worker.
  void make_group();
  // A new message to it, as it arrives at each of them, at most once: at() says under which name.
  std::string name_group_message();
  [[nodiscard]] static std::string at(const std::string& name, uint32_t channel);
  [[nodiscard]] static std::string at(const std::string& name, const Member& worker);
  [[nodiscard]] Result<shm::GroupSent> send_to_group(Member& sender, const std::string& name);
  void group_round();  // the reader sends to it, and everybody hears it
  // What a victim found: for its report. It does not know what was sent since it was made ready.
  static void tell(Report& report, const shm::Delivery& delivery);
  void count(const Report& report);  // as delivered

  // -- the living at work
  void drain();     // reads everything that can be read
  void carry_on();  // every operation, several times round the queue; leaves two messages behind
  void bury(shm::ProcessName dead);  // recovery, until it has nothing left to do that the living can do
  // At the very end, victim and all buried: nothing lost, doubled, leaked.
  void account();

  World world;
  shm::Segment& segment = world.segment();
  Member master{world, world.join(shm::Role::kMaster)};
  Member worker{world, world.join(shm::Role::kWorker, 0)};
  shm::ProcessName victim;  // row taken, living
  Member reader{world, world.join(shm::Role::kConsumer, 1)};
  shm::ProcessName other;  // dead, not yet buried
  shm::Recovery recovery{master.layer};
  shm::ConnectionSlots slots{segment, worker.layer.me()};
  shm::ConnectionSlots::Opened connection{};
  uint32_t channel = 0;
  std::vector<uint32_t> group;  // the channels in it

  // The victim's, made ready before it is stepped.
  shm::Claim claim;
  shm::Delivery delivery;
  shm::Sent sent;
  std::vector<shm::Claim> claims;
  std::optional<shm::ConnectionSlots> own_slots;  // a worker's

  bool reader_sleeps = false;     // it must not be overlooked: see bury()
  bool other_is_victims = false;  // the victim buries the other: nobody else does while it lives

  // -- the living as they were at a moment
  struct Fate {
    size_t bytes;
    bool kept;
    uint32_t arrived = 0;  // with a reader, or back with its sender as taken or unread by the dead
    bool withdrawn = false;  // it may come back, when one dies clearing it away, and reach no reader
  };
  struct Ledger {
    std::map<std::string, Fate> fates;
    std::map<char, uint32_t> last_number;  // by kind: given
    std::map<std::string, uint32_t> last_read;  // by kind, a group's by place: arrived
    bool other_buried = false;
  };
  struct Moment {
    shm::BlockPool masters, workers, readers;
    shm::ConnectionSlots slots;
    shm::Recovery recovery;
    shm::ConnectionSlots::Opened connection;
    Ledger ledger;
  };
  [[nodiscard]] Moment moment();
  void put_back(const Moment& moment);

  [[nodiscard]] ReplyAddress about() const {
    return {worker.layer.me().index, worker.layer.me().incarnation, connection.slot, connection.generation, 0};
  }
  [[nodiscard]] shm::OwnerQueue queue() const { return segment.channel_queue(channel); }

 private:
  [[nodiscard]] size_t size_of(const std::string& name) const;
  void leave_another_dead();
  void note(const shm::Delivery& delivery);
  void note_in_order(const std::string& stream, const std::string& name);
  void hear(const shm::Delivery& notice);
  std::string name_for_group(char kind);
  void arrive(const std::string& name, bool whole);
  void reply_round();
  void inbox_round();
  void newcomer_round();
  void expect_all_claimable(Member& member);

  Ledger ledger_;
};

}  // namespace sluice::tests
