// tests/fuzz/codec_fuzz.cc -- any bytes, read as a message; any script, written as one; against what
// codec.h and message.h promise.
//
// C1  A message that parse() takes is read to its last byte, and encodes to one that reads the same.
// C2  Lenient reading of anything ends, within the bytes; strict reading takes no more than lenient.
// C3  What an Encoder says it wrote whole parses; past its space nothing is written.
// Bytes lie alone on the heap, so a sanitizer sees a read or write outside. With libFuzzer this file
// is the target; with replay.cc it runs a corpus once.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "protocol/message.h"

namespace {

using namespace sluice;

constexpr size_t kVisitsMost = 100'000;  // values looked at for one input

void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "%s does not hold\n", promise);
  std::abort();
}

// All that can be read of a value, as text; `depth` is that of the deepest container met.
void tell(const ValueView& value, uint32_t level, uint32_t& depth, size_t& visits, std::string& told) {
  depth = std::max(depth, level);
  if (++visits > kVisitsMost || level > limits::kDecodeDepth) return;
  told += static_cast<char>('0' + static_cast<int>(value.type()));
  if (const auto flag = value.boolean()) told += *flag ? 't' : 'f';
  if (const auto number = value.integer()) told += std::to_string(*number);
  if (const auto both = value.text_or_bytes()) {
    told += std::to_string(both->size()) + ":";
    told.append(as_text(*both));
  }
  require(value.text().has_value() == (value.text_or_bytes() && value.type() == Type::kText), "C2");
  require(value.bytes().has_value() == (value.text_or_bytes() && value.type() == Type::kBytes), "C2");
  if (value.type() != Type::kList && value.type() != Type::kMap) return;
  told += '(';
  for (const ValueView element : value) {
    if (visits > kVisitsMost) break;
    tell(element, level + 1, depth, visits, told);
    told += ',';
  }
  told += ')';
}

// The same value again, by the encoder. False: more than it can write.
bool encode_again(const ValueView& value, Encoder& encoder) {
  switch (value.type()) {
    case Type::kNull: encoder.null(); return true;
    case Type::kBoolean: encoder.boolean(*value.boolean()); return true;
    case Type::kInteger:
      if (!value.integer()) return false;  // beyond 63 bits
      encoder.integer(*value.integer());
      return true;
    case Type::kText: encoder.text(*value.text()); return true;
    case Type::kBytes: encoder.bytes(*value.bytes()); return true;
    case Type::kList:
    case Type::kMap: {
      const bool map = value.type() == Type::kMap;
      map ? encoder.begin_map() : encoder.begin_list();
      for (const ValueView element : value) {
        if (!encode_again(element, encoder)) return false;
      }
      map ? encoder.end_map() : encoder.end_list();
      return true;
    }
    case Type::kMalformed: break;
  }
  return false;
}

void read(Bytes bytes) {
  const ValueView value(bytes);
  const size_t lenient = value.encoded_size();
  const size_t strict = value.strict_size();
  require(lenient <= bytes.size() && (strict == 0 || strict == lenient), "C2");
  uint32_t depth = 0;
  size_t visits = 0;
  std::string told;
  tell(value, 0, depth, visits, told);
  static_cast<void>(value.find("content"));

  const Result<MessageView> message = MessageView::parse(bytes);
  if (!message.ok()) return;
  require(strict == bytes.size() && value.type() == Type::kMap, "C1");
  for (ValueView::Iterator at = value.begin(); at != value.end(); ++at) {
    const auto key = (*at).text();
    require(key.has_value() && message->find(*key).has_value(), "C1");
    ++at;
    require(at != value.end() && (*at).strict_size() != 0, "C1");
  }
  if (visits > kVisitsMost || depth > Encoder::kMaxDepth) return;
  std::vector<std::byte> space(bytes.size() * 5 + 64);
  Encoder encoder(space);
  if (!encode_again(value, encoder)) return;
  const Result<Bytes> again = encoder.finish();
  if (!again.ok()) {
    require(again.error() == Error::kMessageTooLarge, "C1");  // over 65,535 elements
    return;
  }
  uint32_t depth_again = 0;
  size_t visits_again = 0;
  std::string told_again;
  tell(ValueView(*again), 0, depth_again, visits_again, told_again);
  require(MessageView::parse(*again).ok() && told_again == told, "C1");
}

// The bytes say what to write, into a space of their choosing.
void write(const uint8_t* bytes, size_t size, size_t room) {
  const auto space = std::make_unique<std::byte[]>(room);
  Encoder encoder({space.get(), room});
  struct Open {
    bool map;
    uint32_t elements = 0;
  };
  std::vector<Open> open{{true}};
  encoder.begin_map();
  for (size_t i = 0; i < size; ++i) {
    const std::string text(bytes[i] % 70, static_cast<char>('a' + bytes[i] % 26));
    if (open.back().map && open.back().elements % 2 == 0) {
      encoder.key(text);
      ++open.back().elements;
      continue;
    }
    const bool deep = open.size() >= Encoder::kMaxDepth;
    ++open.back().elements;
    switch (bytes[i] >> 4) {
      case 0: encoder.null(); break;
      case 1: encoder.boolean((bytes[i] & 1) != 0); break;
      case 2: encoder.integer(static_cast<int64_t>(uint64_t{bytes[i]} << (bytes[i] & 15) * 4)); break;
      case 3: encoder.integer(-static_cast<int64_t>(uint64_t{bytes[i]} << (bytes[i] & 15) * 3)); break;
      case 4: encoder.bytes(as_bytes(text)); break;
      case 5: {
        const std::span<std::byte> place = encoder.bytes_in_place(bytes[i]);
        for (std::byte& each : place) each = std::byte{0x91};
        break;
      }
      case 6: {
        const std::span<char> place = encoder.begin_text(bytes[i]);
        const size_t length = bytes[i] % 80;
        for (size_t at = 0; at < std::min(length, place.size()); ++at) place[at] = 'x';
        encoder.end_text(std::min<size_t>(length, bytes[i]));
        break;
      }
      case 7:
      case 8:
        if (deep) {
          encoder.null();
          break;
        }
        (bytes[i] & 1) != 0 ? encoder.begin_map() : encoder.begin_list();
        open.push_back({(bytes[i] & 1) != 0});
        break;
      case 9:
        encoder.null();
        if (open.size() < 2 || (open.back().map && open.back().elements % 2 != 0)) break;
        open.back().map ? encoder.end_map() : encoder.end_list();
        open.pop_back();
        break;
      default: encoder.text(text);
    }
  }
  while (!open.empty()) {
    if (open.back().map && open.back().elements % 2 != 0) encoder.null();
    open.back().map ? encoder.end_map() : encoder.end_list();
    open.pop_back();
  }
  const Result<Bytes> written = encoder.finish();
  require(written.ok() || encoder.overflowed(), "C3");
  if (written.ok()) require(written->size() <= room && MessageView::parse(*written).ok(), "C3");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 1) return 0;
  if ((bytes[0] & 1) == 0) {
    const auto alone = std::make_unique<std::byte[]>(size - 1);
    std::memcpy(alone.get(), bytes + 1, size - 1);
    read({alone.get(), size - 1});
  } else {
    write(bytes + 1, size - 1, (bytes[0] & 2) != 0 ? 16 * size + 64 : bytes[0]);
  }
  return 0;
}
