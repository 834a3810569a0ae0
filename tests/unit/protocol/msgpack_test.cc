// tests/unit/protocol/msgpack_test.cc -- our MessagePack against msgpack-cxx's, both ways.
// clang-format off: doctest's CHECK is the one that must stay
#include "protocol/message.h"
#define MSGPACK_NO_BOOST
#include <doctest/doctest.h>
// clang-format on

#include <msgpack.hpp>
#include <random>
#include <sstream>
#include <string>

namespace sluice {
namespace {

// Random values of every kind we have. One seed gives one value, whoever writes it.
class Values {
 public:
  explicit Values(uint32_t seed) : random_(seed) {}

  template <class Writer>
  void write(Writer& to, int depth) {
    switch (next() % (depth > 0 ? 7 : 5)) {
      case 0:
        return to.null();
      case 1:
        return to.boolean(next() % 2 == 0);
      case 2:
        return to.integer(integer());
      case 3:
        return to.text(text('a', 26));
      case 4:
        return to.bytes(text('\x00', 256));
      case 5: {
        const uint32_t size = next() % 20;
        to.begin_list(size);
        for (uint32_t i = 0; i < size; ++i) write(to, depth - 1);
        return to.end_list();
      }
      default:
        return write_map(to, depth);
    }
  }

  template <class Writer>
  void write_map(Writer& to, int depth) {
    const uint32_t size = next() % 20;
    to.begin_map(size);
    for (uint32_t i = 0; i < size; ++i) {
      to.text(text('a', 26));
      write(to, depth - 1);
    }
    to.end_map();
  }

 private:
  uint32_t next() { return static_cast<uint32_t>(random_()); }
  int64_t integer() {
    const uint64_t bits = (uint64_t{next()} << 32 | next()) >> (next() % 64);
    return static_cast<int64_t>(next() % 2 == 0 ? bits : ~bits);
  }
  std::string text(char first, uint32_t letters) {
    std::string text(next() % 3 == 0 ? next() % 400 : next() % 40, '\0');
    for (char& c : text) c = static_cast<char>(first + static_cast<int>(next() % letters));
    return text;
  }

  std::mt19937 random_;
};

struct Ours {
  Encoder& encoder;
  void null() { encoder.null(); }
  void boolean(bool value) { encoder.boolean(value); }
  void integer(int64_t value) { encoder.integer(value); }
  void text(const std::string& value) { encoder.text(value); }
  void bytes(const std::string& value) { encoder.bytes(as_bytes(value)); }
  void begin_list(uint32_t) { encoder.begin_list(); }
  void end_list() { encoder.end_list(); }
  void begin_map(uint32_t) { encoder.begin_map(); }
  void end_map() { encoder.end_map(); }
};

struct Theirs {
  msgpack::packer<std::ostringstream>& packer;
  void null() { packer.pack_nil(); }
  void boolean(bool value) { packer.pack(value); }
  void integer(int64_t value) { packer.pack_int64(value); }
  void text(const std::string& value) { packer.pack(value); }
  void bytes(const std::string& value) {
    packer.pack_bin(static_cast<uint32_t>(value.size()));
    packer.pack_bin_body(value.data(), static_cast<uint32_t>(value.size()));
  }
  void begin_list(uint32_t size) { packer.pack_array(size); }
  void end_list() {}
  void begin_map(uint32_t size) { packer.pack_map(size); }
  void end_map() {}
};

std::string ours(uint32_t seed) {
  std::string space(1 << 20, '\0');
  Encoder encoder(std::as_writable_bytes(std::span(space.data(), space.size())));
  Ours to{encoder};
  Values(seed).write_map(to, 3);
  return std::string(as_text(encoder.finish().value()));
}

std::string theirs(uint32_t seed) {
  std::ostringstream out;
  msgpack::packer<std::ostringstream> packer(out);
  Theirs to{packer};
  Values(seed).write_map(to, 3);
  return out.str();
}

bool same(const ValueView& our, const msgpack::object& their) {
  switch (their.type) {
    case msgpack::type::NIL:
      return our.type() == Type::kNull;
    case msgpack::type::BOOLEAN:
      return our.boolean() == their.via.boolean;
    case msgpack::type::POSITIVE_INTEGER:
    case msgpack::type::NEGATIVE_INTEGER:
      return our.integer() == their.as<int64_t>();
    case msgpack::type::STR:
      return our.text() == their.as<std::string>();
    case msgpack::type::BIN:
      return our.type() == Type::kBytes &&
             as_text(our.bytes().value()) ==
                 std::string_view(their.via.bin.ptr, their.via.bin.size);
    case msgpack::type::ARRAY: {
      if (our.type() != Type::kList || our.size() != their.via.array.size) return false;
      auto at = our.begin();
      for (uint32_t i = 0; i < their.via.array.size; ++i, ++at) {
        if (!same(*at, their.via.array.ptr[i])) return false;
      }
      return at == our.end();
    }
    case msgpack::type::MAP: {
      if (our.type() != Type::kMap || our.size() != their.via.map.size) return false;
      auto at = our.begin();
      for (uint32_t i = 0; i < their.via.map.size; ++i) {
        if (!same(*at++, their.via.map.ptr[i].key)) return false;
        if (!same(*at++, their.via.map.ptr[i].val)) return false;
      }
      return at == our.end();
    }
    default:
      return false;
  }
}

TEST_CASE("what we write msgpack-cxx reads as the same") {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    const std::string bytes = ours(seed);

    const msgpack::object_handle read = msgpack::unpack(bytes.data(), bytes.size());

    CHECK(same(ValueView(as_bytes(theirs(seed))), read.get()));
  }
}

TEST_CASE("what msgpack-cxx writes we read as the same") {
  for (uint32_t seed = 1000; seed < 1500; ++seed) {
    const std::string bytes = theirs(seed);
    const msgpack::object_handle read = msgpack::unpack(bytes.data(), bytes.size());

    const Result<MessageView> message = MessageView::parse(as_bytes(bytes));

    REQUIRE(message.ok());
    CHECK(same(message->map(), read.get()));
    CHECK(same(ValueView(as_bytes(ours(seed))), read.get()));
  }
}

}  // namespace
}  // namespace sluice
