// worker/text_writer.h -- writes one text into an Encoder while it is being decoded, byte by byte,
// so that what reaches the message is UTF-8 whatever came in. The decoded text never lies anywhere
// else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "protocol/codec.h"

namespace sluice {

// Lives for one text: from construction to end(), which must be called, nothing else may be
// encoded.
class TextWriter {
 public:
  // `most` is what the text can take at most.
  TextWriter(Encoder& encoder, size_t most) noexcept
      : encoder_(encoder), room_(encoder.begin_text(most)) {}
  TextWriter(const TextWriter&) = delete;
  TextWriter& operator=(const TextWriter&) = delete;

  // Bytes that are UTF-8 already.
  void put(char byte) noexcept {
    if (at_ < room_.size()) room_[at_] = byte;
    ++at_;
  }
  void put(std::string_view text) noexcept {
    if (at_ <= room_.size() && text.size() <= room_.size() - at_ && !text.empty()) {
      std::memcpy(room_.data() + at_, text.data(), text.size());
    }
    at_ += text.size();
  }

  // A character of ISO 8859-1.
  void latin1(uint8_t character) noexcept {
    if (character < 0x80) return put(static_cast<char>(character));
    put(static_cast<char>(0xc0 | (character >> 6)));
    put(static_cast<char>(0x80 | (character & 0x3f)));
  }

  // A byte that should be part of UTF-8. What turns out to be none becomes U+FFFD, one for each
  // longest piece that could have begun a character, as Python's "replace" has it.
  void octet(uint8_t byte) noexcept {
    if (more_ > 0) {
      if (byte >= low_ && byte <= high_) {
        put(static_cast<char>(byte));
        --more_;
        low_ = 0x80;
        high_ = 0xbf;
        return;
      }
      end_run();
    }
    if (byte < 0x80) return put(static_cast<char>(byte));
    if (byte < 0xc2 || byte > 0xf4) return put(kReplacement);
    character_ = at_;
    more_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    low_ = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    high_ = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    put(static_cast<char>(byte));
  }
  // No more octets belong to what octet() has: a character begun is given up.
  void end_run() noexcept {
    if (more_ == 0) return;
    more_ = 0;
    at_ = character_;
    put(kReplacement);
  }

  void end() noexcept {
    end_run();
    encoder_.end_text(at_);
  }

  static constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

 private:
  Encoder& encoder_;
  std::span<char> room_;
  size_t at_ = 0;         // bytes written, or that would have been with more room
  size_t character_ = 0;  // where the character begun stands
  uint32_t more_ = 0;     // octets it still needs
  uint8_t low_ = 0x80;    // what the next of them may be
  uint8_t high_ = 0xbf;
};

// Bytes as UTF-8 text, what is none of it replaced.
inline void encode_utf8(std::string_view bytes, Encoder& encoder) noexcept {
  if (valid_utf8(bytes)) {
    encoder.text(bytes);
    return;
  }
  TextWriter writer(encoder, bytes.size() * TextWriter::kReplacement.size());
  for (const char byte : bytes) writer.octet(static_cast<uint8_t>(byte));
  writer.end();
}

// The same as a string, for what must be looked at before it is encoded.
[[nodiscard]] inline std::string repaired_utf8(std::string_view bytes) {
  if (valid_utf8(bytes)) return std::string(bytes);
  std::string room(bytes.size() * TextWriter::kReplacement.size() + 8, '\0');
  Encoder encoder(std::as_writable_bytes(std::span(room.data(), room.size())));
  encode_utf8(bytes, encoder);
  const Bytes encoded = as_bytes(std::string_view(room.data(), encoder.size()));
  return std::string(ValueView(encoded).text().value_or(std::string_view{}));
}

// Bytes as ISO 8859-1 text.
inline void encode_latin1(std::string_view bytes, Encoder& encoder) noexcept {
  if (is_ascii(bytes)) {
    encoder.text(bytes);
    return;
  }
  TextWriter writer(encoder, bytes.size() * 2);
  for (const char byte : bytes) writer.latin1(static_cast<uint8_t>(byte));
  writer.end();
}

}  // namespace sluice
