// tests/blackbox/group_speaker.cc -- a consumer that puts WebSockets into groups, and speaks to them as
// it is told on its standard input.
//
//   group_speaker <control socket> [channel to read…]
//
// It takes connects, and adds each connection to the group its query names (`?group=…`, else `all`); a
// client that says `leave` is discarded from it. Says `attached`, then `added <number so far>`,
// `discarded`, `gone`, and `read <channel> <text>` for what came on a channel. It is told:
//
//   send <group> <text>      says `sent <pushes> <workers full> <channels> <channels full>`
//   size <group> <bytes>     the same of so many bytes `x`, and how many pushes shared memory counts:
//                            `counted <n>`, over every inbox, channel and reply ring there is
//   burst <group> <n>        texts `0`, `1`, …; says `burst` when they are sent
//   add|discard <group> <channel>     says `changed <what came of it>`
//   members <group>          says `members <number>`, or why not
//   flush                    everything; says `flushed <messages>`, or why not
//   living                   says `lives <reply channel> <path>` of each WebSocket, then `living <number>`, or why not
//   tell <reply channel> <text>       says `told <what came of it>`
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

#include "consumer/consumer.h"
#include "consumer/handshake.h"

namespace {

using sluice::Consumer;
using sluice::GroupSent;
using sluice::Message;
using sluice::MessageKind;
using sluice::Result;
namespace shm = sluice::shm;

template <class... Words>
void say(const Words&... words) {
  std::ostringstream line;
  ((line << words << ' '), ...);
  std::puts(line.str().c_str());
  std::fflush(stdout);
}

// The gateway's shared memory, seen by one more process that is attached and does nothing.
class Observer {
 public:
  explicit Observer(std::string_view control) : welcome_(sluice::start_handshake(control)) {
    if (!welcome_.ok() || !sluice::finish_handshake(welcome_->control.get()).ok()) std::abort();
  }
  // Every push there ever was but of blocks that came home: what all tails add up to.
  [[nodiscard]] uint64_t pushes() {
    const shm::Segment& segment = welcome_->segment;
    const shm::Geometry& g = segment.geometry();
    const auto* base = reinterpret_cast<const std::byte*>(&segment.header());
    const auto* inboxes =
        reinterpret_cast<const shm::QueueEnds*>(base + segment.offsets().inbox_ends);
    uint64_t sum = 0;
    for (uint32_t row = 0; row < g.processes; ++row) sum += inboxes[row].tail.load();
    for (uint32_t c = 0; c < g.channels; ++c) sum += segment.channel(c)->ends.tail.load();
    for (uint32_t row = 2; segment.is_worker(row); ++row) {
      const uint32_t slots = segment.process(row)->used_slots.load();
      for (uint32_t slot = 0; slot < slots; ++slot) {
        sum += segment.connection(static_cast<shm::ProcessIndex>(row), slot)->tail.load();
      }
    }
    return sum;
  }

 private:
  Result<sluice::Welcome> welcome_;
};

std::string group_of(const Message& message) {
  for (const sluice::ValueView pair : message.fields().find("GET").value_or(sluice::ValueView())) {
    auto part = pair.begin();
    if ((*part).text() == "group") return std::string((*++part).text().value_or("all"));
  }
  return "all";
}

class Speaker {
 public:
  Speaker(Consumer& consumer, std::string_view control) : consumer_(consumer), observer_(control) {}

  void take(const Message& message) {
    const std::string group = group_of(message);
    switch (message.kind()) {
      case MessageKind::kWebSocketConnect:
        if (consumer_.group_add(group, message).ok()) say("added", ++added_);
        break;
      case MessageKind::kWebSocketReceive:
        if (message.fields().text("content") == "leave" && consumer_.group_discard(group, message).ok()) {
          say("discarded");
        }
        break;
      case MessageKind::kWebSocketDisconnect: say("gone"); break;
      default: say("read", message.channel(), message.fields().text("content"));
    }
  }

  void obey(const std::string& order) {
    std::istringstream words(order);
    std::string verb, group, rest;
    words >> verb >> group;
    std::getline(words >> std::ws, rest);
    if (verb == "send") {
      report(consumer_.group_send(group, {{"content", rest}}));
    } else if (verb == "size") {
      const std::string text(std::stoul(rest), 'x');
      const uint64_t before = observer_.pushes();
      report(consumer_.group_send(group, {{"content", text}}));
      say("counted", observer_.pushes() - before);
    } else if (verb == "burst") {
      for (unsigned long i = 0; i < std::stoul(rest); ++i) {
        static_cast<void>(consumer_.group_send(group, {{"content", std::to_string(i)}}));
      }
      consumer_.flush();
      say("burst");
    } else if (verb == "add" || verb == "discard") {
      const Result<void> changed =
          verb == "add" ? consumer_.group_add(group, rest) : consumer_.group_discard(group, rest);
      say("changed", changed.ok() ? "ok" : sluice::describe(changed.error()));
    } else if (verb == "living") {
      const auto living = consumer_.connections(std::chrono::seconds(30));
      if (!living.ok()) return say("living", sluice::describe(living.error()));
      for (const sluice::LivingConnection& each : *living) say("lives", each.reply_channel, each.path);
      say("living", living->size());
    } else if (verb == "tell") {
      const Result<void> told = consumer_.send(group, {{"content", rest}});
      consumer_.flush();
      say("told", told.ok() ? "ok" : sluice::describe(told.error()));
    } else if (verb == "flush") {
      const auto flushed = consumer_.flush_all();
      if (flushed.ok()) {
        say("flushed", *flushed);
      } else {
        say("flushed", sluice::describe(flushed.error()));
      }
    } else if (verb == "members") {
      const auto members = consumer_.group_members(group, std::chrono::seconds(30));
      if (members.ok()) {
        say("members", members->size());
      } else {
        say("members", sluice::describe(members.error()));
      }
    }
  }

 private:
  void report(const Result<GroupSent>& sent) {
    consumer_.flush();
    if (sent.ok()) {
      say("sent", sent->pushes, sent->workers_full, sent->channels, sent->channels_full);
    } else {
      say("sent", sluice::describe(sent.error()));
    }
  }

  Consumer& consumer_;
  Observer observer_;
  uint64_t added_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::vector<std::string_view> channels{"websocket.connect", "websocket.receive", "websocket.disconnect"};
  channels.insert(channels.end(), argv + 2, argv + argc);
  auto consumer = Consumer::attach(argv[1], channels);
  if (!consumer.ok()) {
    say("not attached:", sluice::describe(consumer.error()));
    return 1;
  }
  Speaker speaker(*consumer, argv[1]);
  say("attached", consumer->number());
  for (std::string orders;;) {
    do {
      while (const auto message = consumer->try_receive()) speaker.take(*message);
      if (!consumer->attached()) return 0;
    } while (!consumer->arm());
    pollfd waiting[] = {{consumer->poll_fd(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0) continue;
    if (waiting[1].revents == 0) continue;
    char bytes[4096];
    const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (got <= 0) return 0;
    orders.append(bytes, static_cast<size_t>(got));
    for (size_t end = 0; (end = orders.find('\n')) != std::string::npos; orders.erase(0, end + 1)) {
      speaker.obey(orders.substr(0, end));
    }
  }
}
