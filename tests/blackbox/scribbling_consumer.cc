// tests/blackbox/scribbling_consumer.cc -- a consumer that attaches as all do, and then writes whatever
// it can wherever it can.
//
//   scribbling_consumer <control socket> <seed> <words> <way>
//
// Says `attached`, writes so many words (0: until it is ended), says `done`, and waits for its end.
// Ways:
//   anywhere  any word of the control segment becomes any number
//   chosen    words that somebody uses become what such a word may hold: off by one, another's, of an
//             earlier time, huge, nothing
//   pushes    blocks of anybody's go into queues of anybody's, by the book
//   bytes     answers to everybody's connections, from blocks that are written while they are read
//   rings     every doorbell, reader and waiter there is
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "consumer/handshake.h"
#include "protocol/message.h"
#include "shm/attach.h"
#include "shm/channel_layer.h"

namespace {

using namespace sluice;
using namespace sluice::shm;

class Scribbler {
 public:
  Scribbler(Welcome& welcome, AttachedArenas& source, uint64_t seed)
      : segment_(welcome.segment),
        me_(welcome.me),
        arenas_(segment_, me_.index, &source),
        bell_(segment_, me_.index, std::move(welcome.doorbell)),
        layer_(segment_, map(welcome.arena.get()), bell_, me_),
        random_(seed) {}

  void write_one(std::string_view way) {
    if (way == "anywhere") {
      all()[random_() % (segment_.offsets().total / sizeof(Word))] = random_();
    } else if (way == "chosen") {
      Word& word = used_word();
      const uint64_t value = fitting_value(word);
      earlier_[random_() % std::size(earlier_)] = word.load();
      word = value;
    } else if (way == "pushes") {
      push();
    } else if (way == "bytes") {
      answer_while_writing();
    } else {
      ring();
    }
  }

 private:
  Arenas& map(int arena) {
    arenas_.map_own(arena);
    return arenas_;
  }
  uint64_t below(uint64_t n) { return random_() % n; }
  Word* all() { return reinterpret_cast<Word*>(&segment_.header()); }
  Word& word_in(void* record, size_t bytes) {
    return static_cast<Word*>(record)[below(bytes / sizeof(Word))];
  }
  ProcessIndex worker() {
    return static_cast<ProcessIndex>(2 + below(std::min(segment_.geometry().worker_processes, 3u)));
  }
  ProcessIndex anybody() {
    return static_cast<ProcessIndex>(
        below(4) == 0 ? 2 + segment_.geometry().worker_processes + below(4) : worker());
  }
  uint32_t channel() { return static_cast<uint32_t>(below(segment_.geometry().channels)); }
  uint32_t used_channel() {  // one in the directory, soon enough
    for (int i = 0; i < 5000; ++i) {
      const auto entry = static_cast<uint32_t>(segment_.directory()[below(segment_.directory_size())]);
      if (entry != 0 && segment_.channel(entry - 1) != nullptr) return entry - 1;
    }
    return channel();
  }
  uint32_t slot() { return static_cast<uint32_t>(below(12)); }
  BlockIndex block() {
    const auto size_class = static_cast<uint32_t>(below(3));
    return segment_.block_at(anybody(), size_class, static_cast<uint32_t>(below(32)));
  }

  Word& used_word() {
    std::byte* const base = reinterpret_cast<std::byte*>(&segment_.header());
    const Offsets& at = segment_.offsets();
    const Geometry& g = segment_.geometry();
    switch (below(9)) {
      case 0: return word_in(segment_.process(anybody()), sizeof(ProcessRecord));
      case 1: return word_in(base + at.inbox_ends + anybody() * sizeof(QueueEnds), sizeof(QueueEnds));
      case 2: return word_in(base + at.inbox_cells + uint64_t{anybody()} * g.inbox_cells * 8, 512);
      case 3: return word_in(segment_.channel(used_channel()), sizeof(ChannelRecord));
      case 4:
        return word_in(base + at.channel_cells + uint64_t{used_channel()} * g.channel_cells * 8,
                       g.channel_cells * 8);
      case 5: return word_in(segment_.connection(worker(), slot()), sizeof(ConnectionRecord));
      case 6: return word_in(segment_.ready(worker()), sizeof(ReadyBitmap));
      case 7: return word_in(base + at.free_ends + anybody() * kClasses * sizeof(QueueEnds),
                             kClasses * sizeof(QueueEnds));
      default: return word_in(segment_.envelope(block()), 24);
    }
  }

  uint64_t fitting_value(const Word& word) {
    const uint64_t now = word.load();
    switch (below(10)) {
      case 0: return 0;
      case 1: return ~uint64_t{0};
      case 2: return now + 1;
      case 3: return now - 1;
      case 4: return now << 32 | now >> 32;
      case 5: return earlier_[below(std::size(earlier_))];
      case 6: return used_word().load();
      case 7: return (now & ~uint64_t{0xffffffff}) | block();
      case 8: return now ^ uint64_t{1} << below(64);
      default:
        return Stamp::of(Stamp{now}.generation() - below(3), anybody(), static_cast<BlockState>(below(6)))
            .word;
    }
  }

  void push() {
    const BlockIndex what = block();
    BlockPlace place;
    if (!segment_.place_of(what, place)) return;
    OwnerQueue queue = [&] {
      switch (below(4)) {
        case 0: return segment_.channel_queue(used_channel());
        case 1: return segment_.inbox(anybody());
        case 2: return segment_.reply_ring(worker(), slot());
        default: return segment_.free_queue(place.arena, place.size_class);
      }
    }();
    segment_.envelope(what)->returned = static_cast<uint32_t>(below(3));
    static_cast<void>(queue.try_push(what, anybody()));
    set_ready(*segment_.ready(worker()), slot());
    bell_.ring(worker());
  }

  // An answer that says it is for a connection there is, and changes all the time.
  void answer_while_writing() {
    Result<Claim> claim = layer_.claim(600);
    if (!claim.ok()) return;
    const BlockIndex mine = claim->block();
    Encoder encoder(claim->space());
    encode(encoder, Fields{{"status_code", 200}, {"content", kSaid}, {"binary", false}});
    const Result<Bytes> bytes = encoder.finish();
    const ProcessIndex to = worker();
    const uint32_t which = slot();
    const ConnectionRecord& record = *segment_.connection(to, which);
    const auto incarnation = static_cast<uint32_t>(segment_.process(to)->life >> 32);
    Route route{};
    route.about = {to, incarnation, which, static_cast<uint32_t>(record.state >> 32),
                   static_cast<uint32_t>(below(40))};
    static_cast<void>(layer_.reply(*claim, bytes->size(), route));
    layer_.ring();
    const std::span<std::byte> payload = arenas_.own(mine);
    for (int i = 0; i < 400; ++i) {
      payload[below(i % 2 == 0 ? 200 : payload.size())] = static_cast<std::byte>(random_());
    }
  }

  void ring() {
    const ProcessIndex whom = anybody();
    segment_.process(whom)->doorbell = static_cast<uint32_t>(random_());
    bell_.ring(whom);
    ChannelRecord& record = *segment_.channel(used_channel());
    record.waiters.words[0] = random_();
    record.readers.words[0] = random_();
    segment_.connection(worker(), slot())->waiter = static_cast<uint32_t>(random_());
    set_ready(*segment_.ready(worker()), static_cast<uint32_t>(below(segment_.geometry().connections_per_worker)));
  }

  static constexpr std::string_view kSaid = "said by the scribbler";
  Segment& segment_;
  ProcessName me_;
  Arenas arenas_;
  Doorbell bell_;
  ChannelLayer layer_;
  std::mt19937_64 random_;
  uint64_t earlier_[64] = {};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  Result<Welcome> welcome = start_handshake(argv[1]);
  if (!welcome.ok()) {
    std::printf("not attached: %s\n", std::string(describe(welcome.error())).c_str());
    return 1;
  }
  AttachedArenas source(welcome->control.get());
  Scribbler scribbler(*welcome, source, std::strtoull(argv[2], nullptr, 10));
  if (!finish_handshake(welcome->control.get()).ok()) return 1;
  std::puts("attached");
  std::fflush(stdout);
  const uint64_t words = std::strtoull(argv[3], nullptr, 10);
  for (uint64_t i = 0; words == 0 || i < words; ++i) scribbler.write_one(argv[4]);
  std::puts("done");
  std::fflush(stdout);
  for (;;) ::pause();
}
