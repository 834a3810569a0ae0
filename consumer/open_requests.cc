// consumer/open_requests.cc -- see open_requests.h.
#include "consumer/open_requests.h"

#include <new>

namespace sluice {
namespace {

constexpr size_t kFirstPlaces = 256;  // 10 KiB; more than a busy consumer has open at once

}  // namespace

OpenRequests::OpenRequests() : places_(kFirstPlaces) {}

OpenRequest* OpenRequests::insert(const OpenRequest& request) noexcept {
  if (request.address.worker == 0 || find(request.address) != nullptr) return nullptr;
  if (2 * (size_ + 1) > places_.size() && !grow()) return nullptr;
  put(request);
  ++size_;
  return find(request.address);
}

OpenRequest* OpenRequests::find(const ReplyAddress& address) noexcept {
  const size_t mask = places_.size() - 1;
  for (size_t place = home(address);; place = (place + 1) & mask) {
    if (places_[place].address.worker == 0) return nullptr;
    if (places_[place].address == address) return &places_[place];
  }
}

void OpenRequests::erase(OpenRequest* request) noexcept {
  // Closes the gap by moving back what probing would no longer reach across it.
  const size_t mask = places_.size() - 1;
  auto gap = static_cast<size_t>(request - places_.data());
  for (size_t place = (gap + 1) & mask; places_[place].address.worker != 0;
       place = (place + 1) & mask) {
    const size_t from_home = (place - home(places_[place].address)) & mask;
    if (from_home < ((place - gap) & mask)) continue;
    places_[gap] = places_[place];
    gap = place;
  }
  places_[gap] = {};
  --size_;
}

size_t OpenRequests::home(const ReplyAddress& address) const noexcept {
  const uint64_t where = uint64_t{address.slot} << 32 | address.ordinal;
  const uint64_t which =
      uint64_t{address.generation} << 32 | address.incarnation << 10 | address.worker;
  const uint64_t mixed = (where ^ which * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
  return (mixed >> 32) & (places_.size() - 1);
}

bool OpenRequests::grow() noexcept {
  std::vector<OpenRequest> old;
  try {
    old.resize(2 * places_.size());
  } catch (const std::bad_alloc&) {
    return false;
  }
  old.swap(places_);
  for (const OpenRequest& request : old) {
    if (request.address.worker != 0) put(request);
  }
  return true;
}

void OpenRequests::put(const OpenRequest& request) noexcept {
  size_t place = home(request.address);
  while (places_[place].address.worker != 0) place = (place + 1) & (places_.size() - 1);
  places_[place] = request;
}

}  // namespace sluice
