// worker/groups.cc -- members by group, places by member; see groups.h.
#include "worker/groups.h"

#include <algorithm>

#include "protocol/limits.h"

namespace sluice {

bool Groups::add(std::string_view group, uint32_t slot, uint32_t generation, uint64_t ends_ms) {
  Places& places = places_[slot];
  const auto known = std::find_if(places.begin(), places.end(),
                                  [&](const Place& place) { return place.group->name == group; });
  if (known != places.end()) {
    known->group->members[known->index] = {slot, generation, ends_ms};
    return true;
  }
  if (places.size() >= limits::kGroupsPerConnection) return false;
  auto found = groups_.find(group);
  if (found == groups_.end()) {
    found = groups_.emplace(std::string(group), Group{std::string(group), {}}).first;
  }
  Group& joined = found->second;
  places.push_back({&joined, joined.members.size()});
  joined.members.push_back({slot, generation, ends_ms});
  return true;
}

void Groups::discard(std::string_view group, uint32_t slot) noexcept {
  const auto found = groups_.find(group);
  if (found == groups_.end()) return;
  remove(found->second, slot);
  drop_if_empty(found->second);
}

void Groups::leave(uint32_t slot) noexcept {
  const auto found = places_.find(slot);
  if (found == places_.end()) return;
  for (const Place& place : found->second) {
    take_out(place);
    drop_if_empty(*place.group);
  }
  places_.erase(found);
}

void Groups::clear() noexcept {
  places_.clear();
  groups_.clear();
}

void Groups::copy_members(std::string_view group, uint64_t now_ms, std::vector<Member>& out) {
  out.clear();
  const auto found = groups_.find(group);
  if (found == groups_.end()) return;
  Group& of = found->second;
  for (size_t i = of.members.size(); i-- > 0;) {  // from the back: what moves was looked at
    const Member& member = of.members[i];
    if (now_ms < member.ends_ms) {
      out.push_back(member);
    } else {
      remove(of, member.slot);
    }
  }
  drop_if_empty(of);
}

// The last member takes the place of the one that leaves.
void Groups::take_out(Place place) noexcept {
  std::vector<Member>& members = place.group->members;
  const size_t last = members.size() - 1;
  if (place.index != last) {
    members[place.index] = members[last];
    Places& moved = places_.find(members[last].slot)->second;
    const auto its_place = std::find_if(moved.begin(), moved.end(), [&](const Place& each) {
      return each.group == place.group;
    });
    its_place->index = place.index;
  }
  members.pop_back();
}

void Groups::remove(Group& group, uint32_t slot) noexcept {
  const auto found = places_.find(slot);
  if (found == places_.end()) return;
  Places& places = found->second;
  const auto place = std::find_if(places.begin(), places.end(),
                                  [&](const Place& each) { return each.group == &group; });
  if (place == places.end()) return;
  take_out(*place);
  places.erase(place);
  if (places.empty()) places_.erase(found);
}

void Groups::drop_if_empty(Group& group) noexcept {
  if (group.members.empty()) groups_.erase(groups_.find(group.name));
}

}  // namespace sluice
