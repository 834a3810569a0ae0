// tests/crash/steps/stage.cc -- the living at work, and the account at the end.
#include "tests/crash/steps/stage.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

namespace sluice::tests {
namespace {

using namespace sluice::shm;
using enum std::memory_order;

constexpr int kTurnsOfRecovery = 30;  // a handful are needed
constexpr int kLaps = 3;

// As small as it can be while every class has a block and a chain of two fits.
Geometry stage_geometry() {
  Geometry geometry{};
  geometry.processes = 10;
  geometry.worker_processes = 2;
  geometry.connections_per_worker = 64;
  geometry.channels = 16;
  geometry.channel_cells = 8;
  geometry.inbox_cells = 8;
  geometry.groups = 2;
  geometry.group_expiry_ms = 60'000;
  geometry.worker_blocks = {64, 2, 2, 2, 2, 2, 2, 5};
  geometry.other_blocks = {64, 2, 2, 2, 2, 2, 2, 5};
  return geometry;
}

constexpr char kToGroup = 'g';      // kinds: the first message to a group, and what the reader sends it later
constexpr char kToGroupLater = 'h';
constexpr const char* kGroup = "group";
constexpr uint32_t kNoticeChannel = 0x0f0f;  // of notices: any number that no message has

char kind_of(const std::string& name) { return name.front(); }
uint32_t number_of(const std::string& name) { return static_cast<uint32_t>(std::stoul(name.substr(1))); }
std::string bytes_named(std::string name, size_t bytes) {
  name.resize(bytes, '.');
  return name;
}
std::string name_in(const Delivery& delivery) {
  const std::span<const std::byte> content = delivery.content();
  const std::string start = Member::text(content.first(std::min(content.size(), size_t{24})));
  return start.substr(0, start.find('.'));
}
// Whether that is bytes_named(name, bytes): in place, a chain is a million bytes.
bool is_named(std::span<const std::byte> content, const std::string& name, size_t bytes) {
  if (content.size() != bytes) return false;
  const size_t dots = std::min(name.size(), bytes);
  if (std::memcmp(content.data(), name.data(), dots) != 0) return false;
  if (dots == bytes) return true;
  return content[dots] == std::byte{'.'} &&  // and each byte behind it is like the one before
         std::memcmp(content.data() + dots + 1, content.data() + dots, bytes - dots - 1) == 0;
}

}  // namespace

Stage::Stage(Role victims_role)
    : world(stage_geometry()), victim(world.join(victims_role, victims_role == Role::kWorker ? 1 : 9)),
      other(world.join(Role::kConsumer, 2)) {
  connection = slots.open().value();
  channel = worker.layer.channels().open("http.request").value();
  leave_another_dead();
  reader.layer.start_reading(channel);
}

Stage::Moment Stage::moment() {
  return {master.layer.pool(), worker.layer.pool(), reader.layer.pool(), slots, recovery, connection, ledger_};
}

void Stage::put_back(const Moment& moment) {
  const auto again = [](auto& object, const auto& earlier) {  // they hold references: not assignable
    std::destroy_at(&object);
    std::construct_at(&object, earlier);
  };
  again(master.layer.pool(), moment.masters);
  again(worker.layer.pool(), moment.workers);
  again(reader.layer.pool(), moment.readers);
  again(slots, moment.slots);
  again(recovery, moment.recovery);
  connection = moment.connection;
  ledger_ = moment.ledger;
}

// A consumer that died with a message in hand, one unread and one of its own in its inbox.
void Stage::leave_another_dead() {
  worker_sends(1);
  worker_sends_to(other, 1);
  const std::string own = name_message('o', 20, false);
  const pid_t child = fork();
  expect(child >= 0, "no child");
  if (child == 0) {
    Member me(world, other);
    me.layer.start_reading(channel);
    const std::optional<Delivery> unread = me.layer.try_receive();  // its inbox comes first
    const std::optional<Delivery> in_hand = me.layer.try_receive();
    if (!unread || !in_hand || !me.send_to(other, bytes_of(own)).ok()) _exit(1);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  expect(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "the other does not die as it should");
  worker_sends_to(other, 1);
}

// ---- messages -----------------------------------------------------------------------------------

std::string Stage::name_message(char kind, size_t bytes, bool kept) {
  const std::string name = kind + std::to_string(++ledger_.last_number[kind]);
  ledger_.fates[name] = {bytes, kept};
  return name;
}

size_t Stage::size_of(const std::string& name) const {
  const auto fate = ledger_.fates.find(name);
  if (fate == ledger_.fates.end()) throw Broken{"a message nobody sent: " + name};
  return fate->second.bytes;
}

std::string Stage::bytes_of(const std::string& name) const {
  return bytes_named(name.substr(0, name.find('@')), size_of(name));
}

bool Stage::holds(const Delivery& found, const std::string& name) const {
  return is_named(found.content(), name.substr(0, name.find('@')), size_of(name));
}

void Stage::worker_sends(uint32_t count, size_t bytes) {
  for (uint32_t i = 0; i < count; ++i) {
    const Result<Sent> done = worker.send(channel, bytes_of(name_message('w', bytes)));
    expect(done.ok(), "a living worker cannot send");
  }
}

void Stage::worker_sends_to(ProcessName to, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    expect(worker.send_to(to, bytes_of(name_message('i'))).ok(), "a living worker cannot send to an inbox");
  }
}

void Stage::tell(Report& report, const Delivery& found) {
  const std::string name = name_in(found);
  if (report.received >= Report::kTexts || name.size() >= sizeof(Report::Message::name)) std::abort();
  Report::Message& message = report.messages[report.received++];
  std::strcpy(message.name, name.c_str());
  message.bytes = found.content().size();
  message.whole = is_named(found.content(), name, message.bytes);
}

void Stage::count(const Report& report) {
  for (size_t i = 0; i < report.received; ++i) {
    const Report::Message& message = report.messages[i];
    arrive(message.name, message.whole && message.bytes == size_of(message.name));
  }
}

void Stage::arrive(const std::string& name, bool whole) {
  const auto fate = ledger_.fates.find(name);
  if (fate == ledger_.fates.end()) throw Broken{"a message arrives that nobody sent: " + name};
  if (!whole) throw Broken{"a message arrives with other bytes than it was sent with: " + name};
  if (++fate->second.arrived != 1) throw Broken{"a message arrives twice: " + name};
}

void Stage::note(const Delivery& found) {
  std::string name = name_in(found);
  if (kind_of(name) == kToGroup || kind_of(name) == kToGroupLater) {
    name = at(name, found.header().channel);
    arrive(name, holds(found, name));
    return note_in_order(kind_of(name) + name.substr(name.find('@')), name);
  }
  // What was meant for a connection that is over, its worker drops.
  if (found.about().worker != kNobody && found.about().generation != connection.generation) return;
  const bool back = found.returned() != Returned::kNo;
  // What its taker died with has its name at least: it may have been freed in part.
  arrive(name, found.returned() == Returned::kTaken || holds(found, name));
  if (back) return;
  if (ledger_.fates.at(name).withdrawn) throw Broken{"a withdrawn message reaches a reader: " + name};
  note_in_order(name.substr(0, 1), name);
}

void Stage::note_in_order(const std::string& stream, const std::string& name) {
  uint32_t& last = ledger_.last_read[stream];
  if (number_of(name) <= last) throw Broken{"a message overtakes another: " + name};
  last = number_of(name);
}

// ---- the group ----------------------------------------------------------------------------------

void Stage::make_group() {
  for (const char* name : {"group.1", "group.2", "group.3"}) {
    group.push_back(worker.layer.channels().open(name).value());
    reader.layer.start_reading(group.back());
    const OpenChannel member = worker.layer.channels().open_now(name).value();
    expect(worker.layer.groups().add(kGroup, member, now_ms() + 1'000'000).ok(), "cannot join a group");
  }
  for (uint32_t i = 0; i < segment.geometry().channel_cells; ++i) {
    expect(worker.send(group[1], bytes_of(name_message('x'))).ok(), "a living worker cannot send");
  }
}

std::string Stage::at(const std::string& name, uint32_t channel) { return name + '@' + std::to_string(channel); }
std::string Stage::at(const std::string& name, const Member& worker) {
  return name + "@row" + std::to_string(worker.layer.me().index);
}

std::string Stage::name_group_message() { return name_for_group(kToGroup); }

std::string Stage::name_for_group(char kind) {
  const std::string name = kind + std::to_string(++ledger_.last_number[kind]);
  for (const uint32_t member : group) ledger_.fates[at(name, member)] = {20, false};
  for (const int row : {2, 3}) ledger_.fates[name + "@row" + std::to_string(row)] = {20, false};
  return name;
}

Result<GroupSent> Stage::send_to_group(Member& sender, const std::string& name) {
  Result<Claim> written = sender.write(bytes_named(name, 20));
  if (!written.ok()) return written.error();
  return sender.layer.send_to_group(kGroup, *written, 20, {kNoticeChannel, {}});
}

void Stage::group_round() {
  drain();
  const std::string name = name_for_group(kToGroupLater);
  const Result<GroupSent> done = send_to_group(reader, name);
  expect(done.ok() && done->channels == group.size() && done->pushes > 0, "a living process cannot send to a group");
  drain();
  for (const uint32_t member : group) expect(arrived(at(name, member)), "a channel does not get what a group is sent");
  expect(arrived(at(name, worker)), "a worker does not hear what a group is sent");
}

// A notice that the worker took.
void Stage::hear(const Delivery& notice) {
  const std::optional<SharedMessage> message = worker.layer.read_shared(notice);
  if (!message) return;  // its sender is dead, and recovery took the worker's bit away
  const std::string text = Member::text(message->message.content);
  const std::string name = at(text.substr(0, text.find('.')), worker);
  if (!worker.layer.let_go(*message)) return;
  arrive(name, text == bytes_named(name.substr(0, name.find('@')), 20));
  note_in_order(kind_of(name) + name.substr(name.find('@')), name);
}

// ---- the living at work -------------------------------------------------------------------------

void Stage::drain() {
  for (bool any = true; any;) {
    any = false;
    for (Member* each : {&reader, &worker}) {
      while (const auto found = each->layer.try_receive()) {
        found->header().channel == kNoticeChannel ? hear(*found) : note(*found);
        any = true;
      }
    }
    while (const auto slot = slots.next_ready()) {
      while (const auto found = worker.layer.try_receive_reply(*slot)) note(*found);
      any = true;
    }
  }
  expect(worker.layer.drops().corrupt == 0 && reader.layer.drops().corrupt == 0, "something corrupt was met");
  expect(worker.layer.drops().unmapped == 0 && reader.layer.drops().unmapped == 0, "an arena was not to be had");
}

void Stage::carry_on() {
  drain();
  const uint32_t capacity = segment.geometry().channel_cells;
  for (int lap = 0; lap < kLaps; ++lap) {
    worker_sends(capacity);
    const std::string refused = name_message('w');
    const Result<Sent> full = worker.send(channel, bytes_of(refused));
    expect(!full.ok() && full.error() == Error::kChannelFull, "a full channel does not refuse");
    never_sent(refused);
    const std::optional<Delivery> one = reader.layer.try_receive();
    expect(one.has_value(), "a full channel has nothing to read");
    note(*one);
    worker_sends(1);
    drain();
    worker_sends(3);  // the queue's ends come to lie elsewhere in the next lap
    drain();
    expect(queue().empty(), "what is drained is not empty");
  }
  inbox_round();
  reply_round();
  expect(reader.layer.channels().open("carry.on").ok(), "a living process cannot open a channel");
  expect(worker.layer.channels().find("carry.on").has_value(), "an open channel is not found");
  newcomer_round();
  if (!other_is_victims && !std::exchange(ledger_.other_buried, true)) bury(other);
  worker_sends(2);
}

// Somebody attaches, and is gone again.
void Stage::newcomer_round() {
  const std::optional<ProcessName> name = world.table().reserve(Role::kConsumer, 3);
  expect(name.has_value(), "no row for a newcomer");
  world.table().set_live(*name, 1, 1);
  expect(world.table().is_live(*name), "a newcomer is not living");
  worker_sends_to(*name, 1);
  bury(*name);
}

void Stage::inbox_round() {
  const uint32_t capacity = segment.geometry().inbox_cells;
  worker_sends_to(reader.layer.me(), capacity);
  const std::string refused = name_message('i');
  expect(!worker.send_to(reader.layer.me(), bytes_of(refused)).ok(), "a full inbox does not refuse");
  never_sent(refused);
  drain();
  for (uint32_t i = 0; i < 2 * capacity; ++i) {
    expect(reader.send_to(worker.layer.me(), bytes_of(name_message('c'))).ok(), "a consumer cannot send");
    drain();
  }
}

void Stage::reply_round() {
  slots.set_high_water(connection.slot, false);
  slots.set_ready(connection.slot);  // a frozen sender's may lie there unannounced
  drain();
  for (int lap = 0; lap < kLaps; ++lap) {
    for (uint32_t i = 0; i < kReplyCells; ++i) {
      expect(reader.reply(about(), bytes_of(name_message('r'))).ok(), "a consumer cannot reply");
    }
    expect(!reader.reply(about(), "one too many").ok(), "a full ring does not refuse");
    drain();
    expect(reader.reply(about(), bytes_of(name_message('r'))).ok(), "a consumer cannot reply");
    drain();
    expect(segment.reply_ring(worker.layer.me().index, connection.slot).empty(), "a reply lies unannounced");
  }
  static_cast<void>(slots.take_waiter(connection.slot));
}

void Stage::bury(ProcessName dead) {
  recovery.on_death(dead);
  if (reader_sleeps && reader.layer.anything_waiting()) {
    pollfd bell{reader.bell.poll_fd(), POLLIN, 0};
    expect(poll(&bell, 1, 0) == 1, "a sleeper is not rung for what waits for it");
  }
  for (int turn = 0; turn < kTurnsOfRecovery && recovery.busy(); ++turn) {
    segment.process(worker.layer.me().index)->seen_deaths.store(segment.header().deaths.load(acquire), release);
    drain();
    static_cast<void>(recovery.advance());
  }
  drain();
  expect(segment.reply_ring(worker.layer.me().index, connection.slot).empty(),
         "a dead one's reply lies unannounced after recovery");
}

void Stage::account() {
  if (!std::exchange(ledger_.other_buried, true)) bury(other);
  drain();
  expect(!recovery.busy(), "recovery does not come to its end");
  std::string problem;
  expect(segment.verify(problem), problem);
  for (const auto& [name, fate] : ledger_.fates) {
    if (fate.kept && fate.arrived != 1) throw Broken{"a message is lost: " + name};
  }
  for (const ProcessIndex row : {victim.index, other.index}) {
    expect(world.table().state(row) == ProcessState::kFree, "the row of a dead process is not given back");
    expect(blocks_waiting_free(segment, row) == blocks_used(segment, row), "blocks of the dead are lost");
    for (uint32_t slot = 0; segment.is_worker(row) && slot < segment.process(row)->used_slots.load(acquire); ++slot) {
      const auto state = static_cast<uint32_t>(segment.connection(row, slot)->state.load(acquire));
      expect(static_cast<SlotState>(state) == SlotState::kFree, "a dead worker's connection stays open");
    }
    for (uint32_t c = 0; c < segment.geometry().channels; ++c) {
      const ChannelRecord& record = *segment.channel(c);
      const uint64_t bit = uint64_t{1} << row;
      expect((record.readers.words[0].load(acquire) & bit) == 0, "a dead process still reads a channel");
      expect((record.waiters.words[0].load(acquire) & bit) == 0, "a dead process still waits at a channel");
    }
  }
  for (uint32_t c = 0; c < segment.geometry().channels; ++c) {
    const auto state = static_cast<ChannelState>(segment.channel(c)->truth.load(acquire) & 0xffff);
    expect(state != ChannelState::kOwned, "a channel stays in the hands of the dead");
    const ChannelTable& channels = reader.layer.channels();
    expect(state == ChannelState::kFree || channels.find(channels.name_of(c)) == c, "a channel has no name");
  }
  for (Member* each : {&master, &worker, &reader}) expect_all_claimable(*each);
}

void Stage::expect_all_claimable(Member& member) {
  std::vector<Claim> all;
  const ClassCounts& counts = segment.blocks_of(member.layer.me().index);
  for (uint32_t c = 0; c < kClasses; ++c) {
    for (uint32_t i = 0; i < counts[c]; ++i) {
      Result<Claim> one = member.layer.claim(kClassBytes[c] - sizeof(PayloadHeader));
      if (!one.ok() || one->space().size() != kClassBytes[c] - sizeof(PayloadHeader)) {
        throw Broken{"a block of the living is lost, of " + std::to_string(kClassBytes[c]) + " bytes"};
      }
      all.push_back(std::move(*one));
    }
  }
}

}  // namespace sluice::tests
