// tests/fuzz/segment_fuzz.cc -- any bytes as a segment's header; any words in a segment at work.
//
// By the first byte: the rest lies over the header of a segment that is then attached; or chooses what
// the processes of tests/support/scribbled_traffic.h do and what is scribbled between. What is attached
// is found within the mapping; no promise of the traffic is broken. With libFuzzer this file is the
// target; with replay.cc it runs a corpus once.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/support/scribbled_traffic.h"

namespace {

using namespace sluice;
using namespace sluice::shm;

constexpr int kStepsMost = 400;  // of one input

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

bool inside(const Segment& segment, const void* record, size_t bytes) {
  const auto* base = reinterpret_cast<const std::byte*>(&segment.header());
  const auto* at = static_cast<const std::byte*>(record);
  return at >= base && at + bytes <= base + segment.offsets().total;
}

void look_at_all(const Segment& segment) {
  const Geometry& g = segment.geometry();
  require(inside(segment, segment.process(g.processes - 1), sizeof(ProcessRecord)), "a process");
  require(inside(segment, segment.channel(g.channels - 1), sizeof(ChannelRecord)), "a channel");
  require(inside(segment, segment.directory() + segment.directory_size() - 1, 8), "the directory");
  const auto last = static_cast<ProcessIndex>(1 + g.worker_processes);
  require(inside(segment, segment.ready(last), sizeof(ReadyBitmap)), "ready bits");
  require(inside(segment, segment.connection(last, g.connections_per_worker - 1),
                 sizeof(ConnectionRecord)), "a connection");
  require(inside(segment, segment.envelope(segment.block_count() - 1), sizeof(Envelope)), "a block");
  require(segment.process(g.processes) == nullptr && segment.channel(g.channels) == nullptr &&
              segment.envelope(segment.block_count()) == nullptr, "one too many");
  // Each queue once: the last cells lie inside, or a sanitizer tells.
  require(segment.channel_queue(g.channels - 1).empty(), "a fresh channel");
  require(segment.inbox(g.processes - 1).empty(), "a fresh inbox");
  require(segment.free_queue(g.processes - 1, kClasses - 1).empty(), "a fresh free queue");
  require(segment.reply_ring(last, g.connections_per_worker - 1).empty(), "a fresh reply ring");
  std::string problem;
  require(segment.verify(problem), problem);
}

void attach_to(const uint8_t* bytes, size_t size) {
  static const Segment pristine = Segment::create(tests::small_geometry());
  const uint64_t total = pristine.offsets().total + (size > 0 && bytes[0] == 255 ? 4096 : 0);
  Fd memfd = make_memfd("fuzzed", total);
  std::string header(reinterpret_cast<const char*>(&pristine.header()), sizeof(Header));
  // Pairs of where and what, so that a fuzzer need not find the magic.
  for (size_t i = 0; i + 2 < size; i += 3) {
    const size_t at = (size_t{bytes[i]} << 8 | bytes[i + 1]) % header.size();
    header[at] = static_cast<char>(bytes[i + 2]);
  }
  require(pwrite(memfd.get(), header.data(), header.size(), 0) == static_cast<ssize_t>(header.size()),
          "writing the header");
  const Result<Segment> attached = Segment::attach(std::move(memfd));
  if (attached.ok()) look_at_all(*attached);
}

void work(const uint8_t* bytes, size_t size) {
  size_t at = 0;
  const auto next = [&]() -> uint64_t { return at < size ? bytes[at++] : 0; };
  tests::ScribbledTraffic traffic([&](uint64_t below) {
    uint64_t number = next();
    for (uint64_t wide = 256; wide < below && wide != 0; wide <<= 8) number = number << 8 | next();
    return number % below;
  });
  for (int step = 0; step < kStepsMost && at < size; ++step) {
    const uint64_t what = next();
    if (what < 128) {
      traffic.work();
    } else if (what < 252) {
      traffic.scribble();
    } else {
      traffic.die();
    }
    require(traffic.broken().empty(), traffic.broken());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 1) return 0;
  (bytes[0] & 1) == 0 ? attach_to(bytes + 1, size - 1) : work(bytes + 1, size - 1);
  return 0;
}
