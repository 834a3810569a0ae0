// tests/unit/worker/groups_test.cc -- who is in which group.
#include "worker/groups.h"

#include "protocol/limits.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

namespace {

using sluice::Groups;

std::set<uint32_t> slots_in(Groups& groups, std::string_view group, uint64_t now = 0) {
  std::vector<Groups::Member> members;
  groups.copy_members(group, now, members);
  std::set<uint32_t> slots;
  for (const Groups::Member& member : members) CHECK(slots.insert(member.slot).second);
  return slots;
}

TEST_CASE("a connection is in a group once, however often it is added") {
  Groups groups;

  CHECK(groups.add("news", 7, 1, 100));
  CHECK(groups.add("news", 8, 1, 100));
  CHECK(groups.add("news", 7, 1, 200));

  CHECK(slots_in(groups, "news") == std::set<uint32_t>{7, 8});
  CHECK(slots_in(groups, "news", 150) == std::set<uint32_t>{7});
}

TEST_CASE("a discarded connection is in the group no more, one that was not in it stays out") {
  Groups groups;
  CHECK(groups.add("news", 7, 1, 100));

  groups.discard("news", 8);
  groups.discard("none", 7);
  CHECK(slots_in(groups, "news") == std::set<uint32_t>{7});
  groups.discard("news", 7);
  groups.discard("news", 7);

  CHECK(slots_in(groups, "news").empty());
  CHECK(groups.size() == 0);
}

TEST_CASE("a connection that leaves is out of all its groups, and nobody else is") {
  Groups groups;
  for (uint32_t slot = 0; slot < 10; ++slot) {
    for (const char* name : {"a", "b", "c"}) CHECK(groups.add(name, slot, 1, 100));
  }

  groups.leave(3);
  groups.leave(3);
  groups.leave(99);

  for (const char* name : {"a", "b", "c"}) {
    CHECK(slots_in(groups, name) == std::set<uint32_t>{0, 1, 2, 4, 5, 6, 7, 8, 9});
  }
}

TEST_CASE("a membership ends with its time, and a group that has no member is forgotten") {
  Groups groups;
  CHECK(groups.add("news", 1, 1, 100));
  CHECK(groups.add("news", 2, 1, 200));

  CHECK(slots_in(groups, "news", 99) == std::set<uint32_t>{1, 2});
  CHECK(slots_in(groups, "news", 100) == std::set<uint32_t>{2});
  CHECK(slots_in(groups, "news", 200).empty());

  CHECK(groups.size() == 0);
}

TEST_CASE("a connection is in as many groups as one may be, and may renew each of them") {
  Groups groups;
  for (size_t i = 0; i < sluice::limits::kGroupsPerConnection; ++i) {
    REQUIRE(groups.add("g" + std::to_string(i), 1, 1, 100));
  }

  CHECK_FALSE(groups.add("one more", 1, 1, 100));
  CHECK(groups.add("g0", 1, 1, 200));
  CHECK(groups.add("one more", 2, 1, 100));
  CHECK(slots_in(groups, "one more") == std::set<uint32_t>{2});
}

TEST_CASE("after any mixture of adds, discards and leaves, the members are those of a plain model") {
  std::mt19937 random(7);
  Groups groups;
  std::map<std::string, std::set<uint32_t>> model;
  for (int step = 0; step < 20000; ++step) {
    const std::string group(1, static_cast<char>('a' + random() % 5));
    const auto slot = static_cast<uint32_t>(random() % 20);
    switch (random() % 4) {
      case 0:
      case 1:
        CHECK(groups.add(group, slot, 1, 100));
        model[group].insert(slot);
        break;
      case 2:
        groups.discard(group, slot);
        model[group].erase(slot);
        break;
      case 3:
        groups.leave(slot);
        for (auto& [name, slots] : model) slots.erase(slot);
        break;
    }
    if (step % 50 == 0) {
      for (const auto& [name, slots] : model) REQUIRE(slots_in(groups, name) == slots);
    }
  }
}

TEST_CASE("cleared, nobody is in any group, and everybody may be again") {
  Groups groups;
  std::vector<Groups::Member> members;
  CHECK(groups.add("a", 1, 1, 1000));
  CHECK(groups.add("b", 1, 1, 1000));
  CHECK(groups.add("a", 2, 1, 1000));

  groups.clear();

  CHECK(groups.size() == 0);
  groups.copy_members("a", 0, members);
  CHECK(members.empty());
  groups.leave(1);
  CHECK(groups.add("a", 1, 1, 1000));
  groups.copy_members("a", 0, members);
  CHECK(members.size() == 1);
}

}  // namespace
