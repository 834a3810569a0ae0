// tests/unit/shm/layout_document_test.cc -- shm/LAYOUT.md says what the header files of the layout say.
// clang-format off: its CHECK gives way to doctest's, so it comes first
#include "shm/attach.h"
// clang-format on

#include <doctest/doctest.h>

#include <cstddef>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <utility>

#include "shm/group_layout.h"
#include "shm/layout.h"

namespace {

using namespace sluice::shm;

struct Record {
  size_t bytes = 0;
  std::map<std::string, std::pair<size_t, size_t>> fields;  // name -> offset, bytes
};

#define FIELD(type, field)                                 \
  {                                                        \
#field, { offsetof(type, field), sizeof(type::field) } \
  }

std::map<std::string, Record> records() {
  return {
      {"AttachPacket",
       {sizeof(AttachPacket),
        {FIELD(AttachPacket, word), FIELD(AttachPacket, version), FIELD(AttachPacket, magic),
         FIELD(AttachPacket, process), FIELD(AttachPacket, incarnation),
         FIELD(AttachPacket, number), FIELD(AttachPacket, reserved),
         FIELD(AttachPacket, control_bytes), FIELD(AttachPacket, arena_bytes)}}},
      {"Header",
       {sizeof(Header),
        {FIELD(Header, magic), FIELD(Header, version), FIELD(Header, endian),
         FIELD(Header, total_bytes), FIELD(Header, instance), FIELD(Header, boot_ms),
         FIELD(Header, page_bytes), FIELD(Header, class_count), FIELD(Header, geometry),
         FIELD(Header, offsets), FIELD(Header, deaths), FIELD(Header, corrupt),
         FIELD(Header, draining), FIELD(Header, rule_changes), FIELD(Header, drop_share),
         FIELD(Header, drop_seed), FIELD(Header, ended)}}},
      {"Geometry",
       {sizeof(Geometry),
        {FIELD(Geometry, processes), FIELD(Geometry, worker_processes),
         FIELD(Geometry, connections_per_worker), FIELD(Geometry, channels),
         FIELD(Geometry, channel_cells), FIELD(Geometry, inbox_cells), FIELD(Geometry, groups),
         FIELD(Geometry, group_expiry_ms), FIELD(Geometry, worker_blocks),
         FIELD(Geometry, other_blocks)}}},
      {"Offsets",
       {sizeof(Offsets),
        {FIELD(Offsets, processes), FIELD(Offsets, inbox_ends), FIELD(Offsets, inbox_cells),
         FIELD(Offsets, rules), FIELD(Offsets, directory), FIELD(Offsets, channels),
         FIELD(Offsets, channel_cells),
         FIELD(Offsets, ready), FIELD(Offsets, connections), FIELD(Offsets, free_ends),
         FIELD(Offsets, free_cells), FIELD(Offsets, envelopes), FIELD(Offsets, groups),
         FIELD(Offsets, group_members), FIELD(Offsets, total)}}},
      {"ProcessRecord",
       {sizeof(ProcessRecord),
        {FIELD(ProcessRecord, life), FIELD(ProcessRecord, role), FIELD(ProcessRecord, pid),
         FIELD(ProcessRecord, start_time), FIELD(ProcessRecord, number),
         FIELD(ProcessRecord, poisoned), FIELD(ProcessRecord, seen_deaths),
         FIELD(ProcessRecord, settled_deaths), FIELD(ProcessRecord, used_slots),
         FIELD(ProcessRecord, stuck), FIELD(ProcessRecord, heartbeat_ms),
         FIELD(ProcessRecord, doorbell), FIELD(ProcessRecord, doorbell_reserved),
         FIELD(ProcessRecord, used_blocks), FIELD(ProcessRecord, inbox_counts),
         FIELD(ProcessRecord, inbox_sent_by_second), FIELD(ProcessRecord, inbox_full_by_second),
         FIELD(ProcessRecord, senders)}}},
      {"WaitingSenders",
       {sizeof(WaitingSenders),
        {FIELD(WaitingSenders, any), FIELD(WaitingSenders, unused), FIELD(WaitingSenders, who)}}},
      {"Envelope",
       {sizeof(Envelope),
        {FIELD(Envelope, stamp), FIELD(Envelope, queue), FIELD(Envelope, next),
         FIELD(Envelope, head), FIELD(Envelope, returned), FIELD(Envelope, holders)}}},
      {"PayloadHeader",
       {sizeof(PayloadHeader),
        {FIELD(PayloadHeader, generation), FIELD(PayloadHeader, length),
         FIELD(PayloadHeader, channel), FIELD(PayloadHeader, expires_ms),
         FIELD(PayloadHeader, published_ms), FIELD(PayloadHeader, worker),
         FIELD(PayloadHeader, sender), FIELD(PayloadHeader, incarnation),
         FIELD(PayloadHeader, slot), FIELD(PayloadHeader, slot_generation),
         FIELD(PayloadHeader, ordinal), FIELD(PayloadHeader, answered_block),
         FIELD(PayloadHeader, answered_generation)}}},
      {"QueueEnds", {sizeof(QueueEnds), {FIELD(QueueEnds, head), FIELD(QueueEnds, tail)}}},
      {"ChannelRecord",
       {sizeof(ChannelRecord),
        {FIELD(ChannelRecord, truth), FIELD(ChannelRecord, capacity),
         FIELD(ChannelRecord, expiry_ms), FIELD(ChannelRecord, poisoned),
         FIELD(ChannelRecord, name_length), FIELD(ChannelRecord, name),
         FIELD(ChannelRecord, sent_by_second), FIELD(ChannelRecord, counts),
         FIELD(ChannelRecord, bytes_queued), FIELD(ChannelRecord, full_by_second),
         FIELD(ChannelRecord, reader), FIELD(ChannelRecord, touched_ms),
         FIELD(ChannelRecord, longest_expiry_ms), FIELD(ChannelRecord, reserved),
         FIELD(ChannelRecord, inbox_sent),
         FIELD(ChannelRecord, readers), FIELD(ChannelRecord, waiters),
         FIELD(ChannelRecord, ends), FIELD(ChannelRecord, senders)}}},
      {"RuleRecord",
       {sizeof(RuleRecord),
        {FIELD(RuleRecord, truth), FIELD(RuleRecord, capacity), FIELD(RuleRecord, expiry_ms),
         FIELD(RuleRecord, glob_length), FIELD(RuleRecord, reserved), FIELD(RuleRecord, glob)}}},
      {"GroupRecord",
       {sizeof(GroupRecord),
        {FIELD(GroupRecord, truth), FIELD(GroupRecord, name_length), FIELD(GroupRecord, reserved),
         FIELD(GroupRecord, name)}}},
      {"ConnectionRecord",
       {sizeof(ConnectionRecord),
        {FIELD(ConnectionRecord, state), FIELD(ConnectionRecord, owner),
         FIELD(ConnectionRecord, constants), FIELD(ConnectionRecord, order),
         FIELD(ConnectionRecord, high_water), FIELD(ConnectionRecord, waiter),
         FIELD(ConnectionRecord, poisoned), FIELD(ConnectionRecord, unused),
         FIELD(ConnectionRecord, head), FIELD(ConnectionRecord, tail),
         FIELD(ConnectionRecord, unused_ends), FIELD(ConnectionRecord, cells)}}},
      {"ReadyBitmap",
       {sizeof(ReadyBitmap),
        {FIELD(ReadyBitmap, top), FIELD(ReadyBitmap, middle), FIELD(ReadyBitmap, bottom)}}},
  };
}

// Under a heading `### Name, N bytes`, the lines `| offset | bytes | name |…`.
std::map<std::string, Record> described(std::istream& document) {
  const std::regex heading(R"(### (\w+), (\d+) bytes)");
  const std::regex row(R"(\| (\d+) \| (\d+) \| (\w+) \|.*)");
  std::map<std::string, Record> all;
  Record* current = nullptr;
  for (std::string line; std::getline(document, line);) {
    std::smatch match;
    if (line.starts_with("#")) current = nullptr;
    if (std::regex_match(line, match, heading)) {
      current = &all[match[1]];
      current->bytes = std::stoul(match[2]);
    } else if (current != nullptr && std::regex_match(line, match, row)) {
      current->fields[match[3]] = {std::stoul(match[1]), std::stoul(match[2])};
    }
  }
  return all;
}

TEST_CASE("each record in LAYOUT.md has the fields, offsets and sizes of the header files") {
  std::ifstream document(SLUICE_LAYOUT_DOCUMENT);
  REQUIRE(document.is_open());

  const std::map<std::string, Record> written = described(document);

  const std::map<std::string, Record> compiled = records();
  for (const auto& named : compiled) {  // no bindings: CAPTURE makes a lambda of them
    const auto& [name, record] = named;
    CAPTURE(named.first);
    REQUIRE(written.contains(name));
    CHECK(written.at(name).bytes == record.bytes);
    for (const auto& placed : record.fields) {
      const auto& [field, where] = placed;
      CAPTURE(placed.first);
      REQUIRE(written.at(name).fields.contains(field));
      CHECK(written.at(name).fields.at(field).first == where.first);
      CHECK(written.at(name).fields.at(field).second == where.second);
    }
    CHECK(written.at(name).fields.size() == record.fields.size());
  }
  CHECK(written.size() == compiled.size());
}

TEST_CASE("LAYOUT.md names the version and the magic of the header files") {
  std::ifstream document(SLUICE_LAYOUT_DOCUMENT);
  const std::string text((std::istreambuf_iterator<char>(document)), {});
  const std::string version = std::to_string(kLayoutVersion);
  char magic[32];
  std::snprintf(magic, sizeof magic, "0x%016llx", static_cast<unsigned long long>(kMagic));

  CHECK(text.find("layout version " + version + ".") != std::string::npos);
  CHECK(text.find("| version | " + version + " |") != std::string::npos);
  CHECK(text.find(magic) != std::string::npos);
}

}  // namespace
