// tests/crash/steps/shared_image.cc -- plain copies of memory nobody writes meanwhile.
#include "tests/crash/steps/shared_image.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

namespace sluice::tests {
namespace {

// A page's worth at a time: most of it is as it was, and reading is cheaper than writing.
void put_back_where_different(std::byte* to, const std::vector<std::byte>& from) {
  constexpr size_t kGranule = 4096;
  for (size_t at = 0; at < from.size(); at += kGranule) {
    const size_t bytes = std::min(kGranule, from.size() - at);
    if (std::memcmp(to + at, from.data() + at, bytes) != 0) std::memcpy(to + at, from.data() + at, bytes);
  }
}

}  // namespace

SharedImage::SharedImage(World& world, std::vector<int> bells) : world_(world), bells_(std::move(bells)) {
  for (uint32_t row = 0; row < world_.segment().geometry().processes; ++row) {
    arenas_.push_back(shm::map_memfd(world_.arena(static_cast<shm::ProcessIndex>(row)), true));
  }
  control_.resize(world_.segment().offsets().total);
  take();
}

std::byte* SharedImage::control() const { return reinterpret_cast<std::byte*>(&world_.segment().header()); }

std::vector<bool> SharedImage::bells_rung() const {
  std::vector<bool> rung;
  for (const int bell : bells_) {
    pollfd poll_bell{bell, POLLIN, 0};
    rung.push_back(::poll(&poll_bell, 1, 0) == 1);
  }
  return rung;
}

void SharedImage::take() {
  std::memcpy(control_.data(), control(), control_.size());
  payloads_.clear();
  const shm::Segment& segment = world_.segment();
  for (uint32_t row = 0; row < arenas_.size(); ++row) {
    for (uint32_t c = 0; c < shm::kClasses; ++c) {
      const uint32_t used = std::min(segment.process(row)->used_blocks[c].load(std::memory_order_relaxed),
                                     segment.blocks_of(row)[c]);
      shm::BlockPlace place;
      if (used == 0 || !segment.place_of(segment.block_at(static_cast<shm::ProcessIndex>(row), c, 0), place)) {
        continue;
      }
      std::byte* start = static_cast<std::byte*>(arenas_[row].get_address()) + place.offset;
      payloads_.push_back({start, std::vector<std::byte>(start, start + size_t{used} * place.bytes())});
    }
  }
  rung_ = bells_rung();
}

void SharedImage::put_back() {
  put_back_where_different(control(), control_);
  for (const Piece& piece : payloads_) put_back_where_different(piece.start, piece.bytes);
  for (size_t i = 0; i < bells_.size(); ++i) {
    char byte = 0;
    while (::recv(bells_[i], &byte, 1, MSG_DONTWAIT) >= 0) {
    }
    if (!rung_[i]) continue;
    sockaddr_un name{};
    socklen_t length = sizeof name;
    const shm::Fd ringer(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (::getsockname(bells_[i], reinterpret_cast<sockaddr*>(&name), &length) != 0 ||
        ::sendto(ringer.get(), "", 1, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&name), length) != 1) {
      std::abort();
    }
  }
}

bool SharedImage::differs() const {
  const auto written = [](const Piece& piece) {
    return std::memcmp(piece.bytes.data(), piece.start, piece.bytes.size()) != 0;
  };
  return std::memcmp(control_.data(), control(), control_.size()) != 0 ||
         std::any_of(payloads_.begin(), payloads_.end(), written) || bells_rung() != rung_;
}

}  // namespace sluice::tests
