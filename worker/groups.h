// worker/groups.h -- who is in which group, of the sockets this worker holds.
//
// G1  A connection is in a group once. It leaves when it is discarded, when its time is over, or with
//     its socket: leave() costs what it is in, not what there is.
// G2  A group is there while it has members. Knows no socket: members are slots and generations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sluice {

class Groups {
 public:
  struct Member {
    uint32_t slot;
    uint32_t generation;
    uint64_t ends_ms;  // monotonic
  };

  // A member until `ends_ms`, whatever it was before. False: it is in as many groups as one may be.
  [[nodiscard]] bool add(std::string_view group, uint32_t slot, uint32_t generation, uint64_t ends_ms);
  void discard(std::string_view group, uint32_t slot) noexcept;
  // The connection is over: out of all its groups.
  void leave(uint32_t slot) noexcept;
  // Nobody is in any group.
  void clear() noexcept;
  // The members at `now_ms` in place of what `out` held; those whose time is over leave.
  void copy_members(std::string_view group, uint64_t now_ms, std::vector<Member>& out);

  [[nodiscard]] size_t size() const noexcept { return groups_.size(); }  // groups with members

 private:
  struct Group {
    std::string name;
    std::vector<Member> members;
  };
  struct Place {
    Group* group;
    size_t index;  // in its members
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const noexcept { return std::hash<std::string_view>{}(name); }
  };
  using Places = std::vector<Place>;

  void take_out(Place place) noexcept;  // of the group alone: the caller forgets the place
  void remove(Group& group, uint32_t slot) noexcept;
  void drop_if_empty(Group& group) noexcept;

  std::unordered_map<std::string, Group, Hash, std::equal_to<>> groups_;
  std::unordered_map<uint32_t, Places> places_;  // of a slot
};

}  // namespace sluice
