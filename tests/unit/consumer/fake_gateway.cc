// tests/unit/consumer/fake_gateway.cc -- see fake_gateway.h.
#include "tests/unit/consumer/fake_gateway.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

namespace sluice::tests {

using shm::AttachPacket;
using shm::AttachWord;

namespace {

shm::Fd listen_at(const std::string& path) {
  shm::Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  CHECK(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CHECK(::listen(fd.get(), 8) == 0);
  return fd;
}

std::string unused_path() {
  static int made = 0;
  return "/tmp/sluice-unit-" + std::to_string(::getpid()) + "-" + std::to_string(++made);
}

}  // namespace

FakeGateway::FakeGateway(shm::Geometry geometry)
    : path_(unused_path()),
      listener_(listen_at(path_)),
      stop_(::eventfd(0, EFD_CLOEXEC)),
      segment_(shm::Segment::create(geometry)),
      processes_(segment_) {
  worker_ = processes_.reserve(shm::Role::kWorker, 0).value();
  shm::Fd arena = shm::make_memfd("test-arena", segment_.arena_bytes(worker_.index));
  worker_arenas_.emplace(segment_, worker_.index, static_cast<shm::ArenaSource*>(this));
  worker_arenas_->map_own(arena.get());
  worker_bell_.emplace(segment_, worker_.index,
                       shm::make_doorbell(segment_.instance(), worker_.index));
  layer_.emplace(segment_, *worker_arenas_, *worker_bell_, worker_);
  slots_.emplace(segment_, worker_);
  processes_.set_live(worker_, static_cast<uint32_t>(::getpid()), 1);
  arenas_[{worker_.index, worker_.incarnation}] = std::move(arena);
  thread_ = std::thread([this] { serve(); });
}

void FakeGateway::hang_up() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  CHECK(::write(stop_.get(), &one, sizeof one) == sizeof one);
  thread_.join();
  attached_.clear();
  listener_.reset();
  ::unlink(path_.c_str());
}

void FakeGateway::bury(uint32_t number) {
  const std::lock_guard lock(mutex_);
  const shm::ProcessName dead = consumers_.at(number);
  processes_.set_dead(dead);
  for (uint32_t channel = 0; channel < segment_.geometry().channels; ++channel) {
    segment_.channel(channel)->readers.words[dead.index / 64].fetch_and(~(uint64_t{1} << dead.index % 64));
  }
}

void FakeGateway::serve() {
  for (;;) {
    std::vector<pollfd> fds{{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const shm::Fd& fd : attached_) fds.push_back({fd.get(), POLLIN, 0});
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[0].revents != 0) return;
    for (size_t i = fds.size(); i-- > 2;) {
      if (fds[i].revents != 0 && !answer(fds[i].fd)) {
        attached_.erase(attached_.begin() + static_cast<std::ptrdiff_t>(i - 2));
      }
    }
    if (fds[1].revents != 0) {
      attached_.emplace_back(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
  }
}

// Answers one packet; false: hang up.
bool FakeGateway::answer(int fd) {
  const auto received = shm::receive_packet(fd, 0);
  if (!received.ok()) return false;
  const std::lock_guard lock(mutex_);
  AttachPacket packet{};
  packet.magic = shm::kMagic;
  packet.version = shm::kLayoutVersion;
  switch (received->packet.word) {
    case AttachWord::kHello: {
      if (refusing_.load() != shm::RefusedWhy{}) {
        packet.word = AttachWord::kRefused;
        packet.number = static_cast<uint32_t>(refusing_.load());
        static_cast<void>(shm::send_packet(fd, packet, {}));
        return false;
      }
      const shm::ProcessName name =
          processes_.reserve(shm::Role::kConsumer, ++last_number_).value();
      consumers_[last_number_] = name;
      shm::Fd arena = shm::make_memfd("test-arena", segment_.arena_bytes(name.index));
      const shm::DoorbellSockets bell = shm::make_doorbell(segment_.instance(), name.index);
      packet.word = AttachWord::kWelcome;
      packet.process = name.index;
      packet.incarnation = name.incarnation;
      packet.number = last_number_;
      packet.control_bytes = segment_.offsets().total;
      packet.arena_bytes = segment_.arena_bytes(name.index);
      const int fds[] = {segment_.memfd(), arena.get(), bell.bell.get(), bell.ringer.get()};
      arenas_[{name.index, name.incarnation}] = std::move(arena);
      return shm::send_packet(fd, packet, fds).ok();
    }
    case AttachWord::kMapped:
      for (const auto& [number, name] : consumers_) {
        if (processes_.state(name.index) == shm::ProcessState::kJoining)
          processes_.set_live(name, 1, 1);
      }
      packet.word = AttachWord::kAttached;
      return shm::send_packet(fd, packet, {}).ok();
    case AttachWord::kWantArena: {
      packet.word = AttachWord::kArena;
      packet.process = received->packet.process;
      packet.incarnation = received->packet.incarnation;
      const auto arena = arenas_.find({packet.process, packet.incarnation});
      if (arena == arenas_.end()) return shm::send_packet(fd, packet, {}).ok();
      const int fds[] = {arena->second.get()};
      return shm::send_packet(fd, packet, fds).ok();
    }
    default:
      return false;
  }
}

shm::Fd FakeGateway::fetch(shm::ProcessIndex process, uint32_t incarnation) noexcept {
  const std::lock_guard lock(mutex_);
  const auto arena = arenas_.find({process, incarnation});
  return arena == arenas_.end() ? shm::Fd{} : shm::Fd(::dup(arena->second.get()));
}

shm::Sent FakeGateway::send(std::string_view channel, const ReplyAddress& about, Fields fields,
                            bool ring) {
  shm::Claim claim = layer_->claim(400).value();
  Encoder encoder(claim.space());
  encode(encoder, fields);
  const size_t length = encoder.finish().value().size();
  const uint32_t index = layer_->channels().open(channel).value();
  const shm::Sent sent = layer_->send(index, claim, length, {.about = about}).value();
  if (ring) layer_->ring();
  return sent;
}

shm::Sent FakeGateway::send_to(uint32_t number, std::string_view channel, const ReplyAddress& about,
                               Fields fields) {
  shm::ProcessName reader;
  {
    const std::lock_guard lock(mutex_);
    reader = consumers_.at(number);
  }
  shm::Claim claim = layer_->claim(400).value();
  Encoder encoder(claim.space());
  encode(encoder, fields);
  const size_t length = encoder.finish().value().size();
  const uint32_t index = layer_->channels().open(channel).value();
  const shm::Sent sent =
      layer_->send_to(reader, claim, length, {.channel = index, .about = about}).value();
  layer_->ring();
  return sent;
}

ReplyAddress FakeGateway::open_connection(uint32_t ordinal) {
  const auto opened = slots_->open().value();
  return {worker_.index, worker_.incarnation, opened.slot, opened.generation, ordinal};
}

std::optional<SeenReply> FakeGateway::try_reply() {
  while (const auto slot = slots_->next_ready()) {
    auto delivery = layer_->try_receive_reply(*slot);
    if (!delivery) continue;  // a bit says only that it is worth a look
    slots_->set_ready(*slot);  // there may be more
    const Bytes content = delivery->content();
    return SeenReply{delivery->about(),
                     delivery->header().answered_block,
                     delivery->header().answered_generation,
                     {content.begin(), content.end()}};
  }
  return std::nullopt;
}

SeenReply FakeGateway::reply() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  for (;;) {
    if (auto reply = try_reply()) return std::move(*reply);
    CHECK(std::chrono::steady_clock::now() < deadline);
    worker_bell_->fall_asleep_in_futex();
    if (slots_->any_ready()) {
      worker_bell_->stay_awake();
    } else {
      worker_bell_->sleep_in_futex(std::chrono::milliseconds(100));
    }
  }
}

shm::Progress FakeGateway::progress(const shm::Sent& sent) const {
  shm::ProcessIndex taker = shm::kNobody;
  return layer_->progress(sent, taker);
}

}  // namespace sluice::tests
