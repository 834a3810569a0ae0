// tests/support/scribbled_traffic.cc -- see scribbled_traffic.h.
#include "tests/support/scribbled_traffic.h"

#include <algorithm>

namespace sluice::tests {
namespace {

using namespace shm;

constexpr size_t kConsumers = 2;

std::string name_of(const ReplyAddress& about) {
  return std::to_string(about.slot) + "." + std::to_string(about.generation) + "." +
         std::to_string(about.ordinal) + "|";
}

}  // namespace

ScribbledTraffic::ScribbledTraffic(Choose choose)
    : choose_(std::move(choose)),
      master_(world_, world_.join(Role::kMaster)),
      recovery_(master_.layer),
      worker_(world_, world_.join(Role::kWorker)),
      slots_(world_.segment(), worker_.layer.me()),
      channel_(worker_.layer.channels().open("http.request").value()) {
  for (size_t i = 0; i < kConsumers; ++i) {
    consumers_.push_back(std::make_unique<Consumer>(world_, world_.join(Role::kConsumer)));
    consumers_.back()->member.layer.start_reading(channel_);
  }
  master_.layer.processes().keep_account();
}

void ScribbledTraffic::say(std::string_view what) { broken_.append(what).append("\n"); }

ReplyAddress ScribbledTraffic::address_of(uint32_t slot, uint32_t ordinal) const {
  const ProcessName me = worker_.layer.me();
  for (const ConnectionSlots::Opened& each : open_) {
    if (each.slot == slot) return {me.index, me.incarnation, slot, each.generation, ordinal};
  }
  return {me.index, me.incarnation, slot, 0, ordinal};
}

// Begins with whose it is, and goes on with it to its length.
std::string ScribbledTraffic::text_about(const ReplyAddress& about, size_t length) const {
  const std::string name = name_of(about);
  std::string text = name;
  while (text.size() < length) text += name;
  return text;
}

size_t ScribbledTraffic::some_length() {
  switch (choose_(32)) {
    case 0: return (1u << 20) + choose_(1u << 20);  // a chain
    case 1: return 60000;
    default: return choose_(1500);
  }
}

// ---- the worker ---------------------------------------------------------------------------------

void ScribbledTraffic::open_slot() {
  if (open_.size() >= 8) return;
  if (const auto opened = slots_.open()) open_.push_back(*opened);
}

void ScribbledTraffic::close_slot() {
  if (open_.empty()) return;
  const auto which = open_.begin() + static_cast<std::ptrdiff_t>(choose_(open_.size()));
  const uint32_t slot = which->slot;
  std::erase_if(exchanges_, [&](const Exchange& exchange) {
    if (exchange.slot != slot) return false;
    worker_.layer.pool().release_hold(exchange.sent.block);
    return true;
  });
  std::erase_if(writing_, [&](const Writing& writing) { return writing.about.slot == slot; });
  for (uint32_t i = 0; i < kReplyCells && worker_.layer.try_receive_reply(slot); ++i) {
  }
  slots_.close(slot);
  open_.erase(which);
}

void ScribbledTraffic::begin_request() {
  if (open_.empty() || writing_.size() >= 3) return;
  const ReplyAddress about = address_of(open_[choose_(open_.size())].slot, ++ordinal_);
  std::string text = text_about(about, some_length());
  Result<Claim> claim = worker_.write(text);
  if (claim.ok()) writing_.push_back({std::move(*claim), std::move(text), about});
}

void ScribbledTraffic::send_request() {
  if (writing_.empty()) return;
  Writing writing = std::move(writing_.front());
  writing_.pop_front();
  const auto space = writing.claim.space();
  if (std::memcmp(space.data(), writing.text.data(), writing.text.size()) != 0) {
    say("a block was written to while it was in its claimer's hands");
  }
  Route route{};
  route.about = writing.about;
  const Result<Sent> sent = worker_.layer.send(channel_, writing.claim, writing.text.size(), route);
  if (!sent.ok()) return;
  worker_.layer.pool().hold(sent->block);
  exchanges_.push_back({writing.about.slot, writing.about.generation, writing.about.ordinal, *sent,
                        std::move(writing.text)});
}

void ScribbledTraffic::end_exchange() {
  if (exchanges_.empty()) return;
  const auto which = exchanges_.begin() + static_cast<std::ptrdiff_t>(choose_(exchanges_.size()));
  ProcessIndex taker = kNobody;
  if (worker_.layer.progress(which->sent, taker) == Progress::kUnread) {
    static_cast<void>(worker_.layer.withdraw(which->sent));
  }
  worker_.layer.pool().release_hold(which->sent.block);
  exchanges_.erase(which);
}

void ScribbledTraffic::send_to_inbox() {
  if (open_.empty()) return;
  const ReplyAddress about = address_of(open_[choose_(open_.size())].slot, 0);
  const std::string text = text_about(about, choose_(900));
  Result<Claim> claim = worker_.write(text);
  if (!claim.ok()) return;
  Route route{};
  route.about = about;
  static_cast<void>(worker_.layer.send_to(consumers_[choose_(consumers_.size())]->member.layer.me(), *claim,
                                          text.size(), route));
}

void ScribbledTraffic::drain() {
  for (int i = 0; i < 64; ++i) {
    const std::optional<uint32_t> slot = slots_.next_ready();
    if (!slot) break;
    for (uint32_t n = 0; n < kReplyCells; ++n) {
      const auto reply = worker_.layer.try_receive_reply(*slot);
      if (!reply) break;
      check(*reply, "a reply");
      const ReplyAddress about = reply->about();
      std::erase_if(exchanges_, [&](const Exchange& exchange) {
        if (about != address_of(*slot, exchange.ordinal) || exchange.slot != *slot) return false;
        worker_.layer.pool().release_hold(exchange.sent.block);
        return true;
      });
    }
    static_cast<void>(slots_.ring_broken(*slot));
    if (const ProcessIndex waiter = slots_.take_waiter(*slot)) worker_.bell.ring(waiter);
  }
  for (int i = 0; i < 16; ++i) {  // what came back
    const auto returned = worker_.layer.try_receive();
    if (!returned) break;
    check(*returned, "a message handed back");
  }
  worker_.layer.ring();
  worker_.arenas.forget_replaced();
}

// S2
void ScribbledTraffic::check_held() {
  for (const Exchange& exchange : exchanges_) {
    const auto payload = worker_.arenas.payload(exchange.sent.block).subspan(sizeof(PayloadHeader));
    const size_t here = std::min(payload.size(), exchange.held.size());
    if (std::memcmp(payload.data(), exchange.held.data(), here) != 0) {
      say("a block was written to while an open exchange is told by it");
    }
  }
}

// ---- consumers ----------------------------------------------------------------------------------

// S1
void ScribbledTraffic::check(const Delivery& delivery, std::string_view where) {
  const std::string text = Member::text(delivery);
  if (!delivery.intact()) return;  // said so: not used
  ++received_;
  if (!text_about(delivery.about(), text.size()).starts_with(text)) {
    broken_.append(where).append(" about ").append(name_of(delivery.about())).append(" says ");
    say(std::string_view(text).substr(0, 60));
  }
}

void ScribbledTraffic::take(Consumer& consumer) {
  auto delivery = consumer.member.layer.try_receive();
  if (!delivery) return;
  check(*delivery, "a message");
  std::string text = Member::text(*delivery);
  consumer.reading.push_back({std::move(*delivery), std::move(text)});
}

// The oldest message taken is answered, the answer made of what is read now.
void ScribbledTraffic::answer(Consumer& consumer) {
  if (consumer.reading.empty()) return;
  const Reading reading = std::move(consumer.reading.front());
  consumer.reading.pop_front();
  const std::string text = Member::text(reading.delivery);
  if (!reading.delivery.intact()) return;
  if (text != reading.text) say("a message changed under its reader, and says it is intact");
  const auto claim_bytes = std::min<size_t>(text.size(), 2000);
  Result<Claim> claim = consumer.member.write(std::string_view(text).substr(0, claim_bytes));
  if (!claim.ok()) return;
  Route route{};
  route.about = reading.delivery.about();
  route.answered_block = reading.delivery.block();
  route.answered_generation = reading.delivery.header().generation;
  static_cast<void>(consumer.member.layer.reply(*claim, claim_bytes, route));
  consumer.member.layer.ring();
}

void ScribbledTraffic::die() {
  if (consumers_.size() == kConsumers) {
    Consumer& dying = *consumers_.back();
    const ProcessName name = dying.member.layer.me();
    for (Reading& reading : dying.reading) static_cast<void>(reading.delivery.keep());
    consumers_.pop_back();
    recovery_.on_death(name);
  }
  for (int i = 0; i < 8 && recovery_.busy(); ++i) {
    drain();
    world_.segment()
        .process(worker_.layer.me().index)
        ->seen_deaths.store(world_.segment().header().deaths.load());
    static_cast<void>(recovery_.advance());
  }
  const auto row = master_.layer.processes().reserve(Role::kConsumer, 1);
  if (!row) return;  // the dead are in somebody's hands yet, or a scribbler says so: the next time
  master_.layer.processes().set_live(*row, static_cast<uint32_t>(getpid()), 0);
  consumers_.push_back(std::make_unique<Consumer>(world_, *row));
  consumers_.back()->member.layer.start_reading(channel_);
}

void ScribbledTraffic::work() {
  switch (choose_(12)) {
    case 0: open_slot(); break;
    case 1: choose_(8) == 0 ? close_slot() : end_exchange(); break;
    case 2:
    case 3: begin_request(); break;
    case 4:
    case 5: send_request(); break;
    case 6: send_to_inbox(); break;
    case 7:
    case 8: take(*consumers_[choose_(consumers_.size())]); break;
    case 9:
    case 10: answer(*consumers_[choose_(consumers_.size())]); break;
    default: drain();
  }
  check_held();
}

// ---- the scribbler ------------------------------------------------------------------------------

Word& ScribbledTraffic::any_word() {
  const Segment& segment = world_.segment();
  const Geometry& g = segment.geometry();
  const auto word_of = [&](void* record, size_t bytes) -> Word& {
    return static_cast<Word*>(record)[choose_(bytes / sizeof(Word))];
  };
  const auto worker = worker_.layer.me().index;
  const auto row = static_cast<ProcessIndex>(choose_(g.processes));
  std::byte* base = reinterpret_cast<std::byte*>(&segment.header());
  const Offsets& at = segment.offsets();
  switch (choose_(12)) {
    case 0: return word_of(segment.process(row), sizeof(ProcessRecord));
    case 1: return word_of(base + at.inbox_ends + row * sizeof(QueueEnds), sizeof(QueueEnds));
    case 2: return word_of(base + at.inbox_cells + row * g.inbox_cells * 8, g.inbox_cells * 8);
    case 3: return word_of(segment.channel(channel_), sizeof(ChannelRecord));
    case 4:
      return word_of(base + at.channel_cells + channel_ * g.channel_cells * 8, g.channel_cells * 8);
    case 5: return word_of(segment.connection(worker, static_cast<uint32_t>(choose_(8))), 256);
    case 6: return word_of(segment.ready(worker), sizeof(ReadyBitmap));
    case 7: return word_of(base + at.free_ends, at.free_cells - at.free_ends);
    case 8: return word_of(base + at.free_cells, at.envelopes - at.free_cells);
    case 9: return word_of(base + at.directory, at.channels - at.directory);
    case 10: return word_of(base, at.total);
    default: {
      // A block that somebody works with: the first of a class.
      const BlockIndex block = segment.block_at(
          choose_(2) == 0 ? worker : row, static_cast<uint32_t>(choose_(kClasses)),
          static_cast<uint32_t>(choose_(8)));
      return word_of(segment.envelope(block), 24);
    }
  }
}

uint64_t ScribbledTraffic::any_value(const Word& word) {
  const uint64_t now = word.load();
  switch (choose_(12)) {
    case 0: return 0;
    case 1: return ~uint64_t{0};
    case 2: return now + 1;
    case 3: return now - 1;
    case 4: return now ^ uint64_t{1} << choose_(64);
    case 5: return choose_(uint64_t{1} << 32) << 32 | choose_(uint64_t{1} << 32);
    case 6: return choose_(1000);
    case 7: return uint64_t{now} << 32 | now >> 32;
    case 8:  // a stamp: the same generation, another owner, another state
      return Stamp::of(Stamp{now}.generation() - choose_(3), static_cast<ProcessIndex>(choose_(9)),
                       static_cast<BlockState>(choose_(6))).word;
    case 9: return any_word().load();  // what stands elsewhere
    case 10: return seen_values_.empty() ? 7 : seen_values_[choose_(seen_values_.size())];
    default:  // a cell of the right lap, with another's block
      return now >> 32 << 32 | world_.segment().block_at(worker_.layer.me().index, 0,
                                                         static_cast<uint32_t>(choose_(32)));
  }
}

// Any block, into any queue, by the book.
void ScribbledTraffic::push_like_an_honest_one() {
  Segment& segment = world_.segment();
  const ProcessIndex worker = worker_.layer.me().index;
  const auto row = static_cast<ProcessIndex>(choose_(2) == 0 ? worker : choose_(8));
  const auto size_class = static_cast<uint32_t>(choose_(3) == 0 ? kClasses - 1 : choose_(2));
  const BlockIndex block = segment.block_at(
      row, size_class, static_cast<uint32_t>(choose_(segment.blocks_of(row)[size_class])));
  const auto me = static_cast<ProcessIndex>(choose_(8));
  OwnerQueue queue = [&] {
    switch (choose_(4)) {
      case 0: return segment.channel_queue(channel_);
      case 1: return segment.inbox(static_cast<uint32_t>(choose_(8)));
      case 2: return segment.reply_ring(worker, static_cast<uint32_t>(choose_(8)));
      default: return segment.free_queue(row, size_class);
    }
  }();
  if (choose_(4) == 0) segment.envelope(block)->returned = static_cast<uint32_t>(choose_(3));
  static_cast<void>(queue.try_push(block, me));
  set_ready(*segment.ready(worker), static_cast<uint32_t>(choose_(8)));
}

void ScribbledTraffic::scribble() {
  if (choose_(3) == 0) return push_like_an_honest_one();
  Word& word = any_word();
  if (seen_values_.size() < 256) {
    seen_values_.push_back(word.load());
  } else {
    seen_values_[choose_(256)] = word.load();
  }
  const uint64_t value = any_value(word);
  if (choose_(4) != 0) {
    word.store(value);
  } else {  // half a word
    HalfWord* halves = reinterpret_cast<HalfWord*>(&word);
    halves[choose_(2)].store(static_cast<uint32_t>(value));
  }
}

}  // namespace sluice::tests
