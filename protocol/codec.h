// protocol/codec.h -- values to MessagePack and back, without allocation.
//
// Encoder writes straight into a claimed block. ValueView reads in place, and every read is checked
// against the end of the bytes at the time it happens: bytes that another process changes while we
// read give wrong values, never a read outside (house.md, section 5). What a decision rests on is
// therefore copied out first, then checked, then used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/limits.h"
#include "protocol/result.h"
#include "protocol/utf8.h"

namespace sluice {

using Bytes = std::span<const std::byte>;

[[nodiscard]] inline Bytes as_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}
[[nodiscard]] inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What a map's header takes: the keys that follow begin here.
inline constexpr size_t kMapHeaderBytes = 3;

// Writes MessagePack into the space it is given. Past the end it writes nothing more and remembers:
// finish() says kMessageTooLarge, and the caller begins again in a larger block. Text is the
// caller's promise of valid UTF-8. Containers get 16-bit counts, filled in when they end.
class Encoder {
 public:
  explicit Encoder(std::span<std::byte> space) noexcept : space_(space) {}

  Encoder& null() noexcept;
  Encoder& boolean(bool value) noexcept;
  Encoder& integer(int64_t value) noexcept;
  Encoder& text(std::string_view value) noexcept {
    if (value.size() < 32 && value.size() < space_.size() - used_ && !overflowed_) [[likely]] {
      ++counts_[depth_];
      std::byte* to = space_.data() + used_;
      to[0] = static_cast<std::byte>(0xa0 | value.size());
      copy_short(to + 1, value.data(), value.size());
      used_ += 1 + value.size();
      return *this;
    }
    return long_text(value);
  }
  Encoder& bytes(Bytes value) noexcept;

  // Containers nest at most kMaxDepth deep (a CHECK: depth is ours to choose). In a map, keys and
  // values alternate. key() is text() under the name that says so.
  Encoder& begin_map() noexcept;  // writes kMapHeaderBytes
  Encoder& end_map() noexcept;
  Encoder& begin_list() noexcept;
  Encoder& end_list() noexcept;
  Encoder& key(std::string_view name) noexcept { return text(name); }

  // Appends `elements` values encoded earlier (for a map: keys and values counted together), as
  // elements() of that Encoder told.
  Encoder& raw(Bytes encoded, uint32_t elements) noexcept;

  // Room for `size` bytes of a `bytes` value that the caller fills itself; empty on overflow.
  [[nodiscard]] std::span<std::byte> bytes_in_place(size_t size) noexcept;

  // Room for a text that the caller writes itself and whose length it knows only afterwards: `most`
  // bytes, or fewer where the space ends. Nothing else may be encoded until end_text(), which is
  // told the length the text has, or would have had: more than there was room for is an overflow.
  [[nodiscard]] std::span<char> begin_text(size_t most) noexcept;
  void end_text(size_t size) noexcept;

  // Values written so far into the innermost open container (or at the top).
  [[nodiscard]] uint32_t elements() const noexcept { return counts_[depth_]; }
  [[nodiscard]] size_t size() const noexcept { return used_; }
  [[nodiscard]] bool overflowed() const noexcept { return overflowed_; }
  // The encoded bytes. kMessageTooLarge when they did not fit, or a container has more than 65,535.
  [[nodiscard]] Result<Bytes> finish() const noexcept;

  static constexpr uint32_t kMaxDepth = limits::kEncodeDepth;

 private:
  // Fewer than 32 bytes, without a call: words from both ends, which may overlap.
  static void copy_short(std::byte* to, const char* from, size_t size) noexcept {
    if (size >= 16) {
      std::memcpy(to, from, 16);
      std::memcpy(to + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
      std::memcpy(to, from, 8);
      std::memcpy(to + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
      std::memcpy(to, from, 4);
      std::memcpy(to + size - 4, from + size - 4, 4);
    } else {
      for (size_t i = 0; i < size; ++i) to[i] = static_cast<std::byte>(from[i]);
    }
  }
  std::byte* take(size_t size) noexcept;
  Encoder& long_text(std::string_view value) noexcept;
  std::byte* begin_bytes(size_t size) noexcept;
  void begin(uint8_t tag) noexcept;
  void end(uint32_t per_element) noexcept;

  std::span<std::byte> space_;
  size_t used_ = 0;
  uint32_t depth_ = 0;
  uint32_t counts_[kMaxDepth + 1] = {};
  size_t starts_[kMaxDepth + 1] = {};
  size_t text_room_ = 0;      // of the text begun and not ended
  uint32_t text_header_ = 0;  // the bytes left free before it; 0 when not even those fit
  bool text_open_ = false;
  bool overflowed_ = false;
};

enum class Type : uint8_t { kMalformed, kNull, kBoolean, kInteger, kText, kBytes, kList, kMap };
[[nodiscard]] std::string_view name_of(Type type) noexcept;

// One value, in place. Cheap to copy; valid while its bytes are.
class ValueView {
 public:
  ValueView() noexcept = default;
  explicit ValueView(Bytes bytes) noexcept : bytes_(bytes) {}

  [[nodiscard]] Type type() const noexcept;
  // Each gives nothing when the value is of another type or cut short. text() does not check UTF-8
  // again: MessageView::parse did.
  [[nodiscard]] std::optional<bool> boolean() const noexcept;
  [[nodiscard]] std::optional<int64_t> integer() const noexcept;
  [[nodiscard]] std::optional<std::string_view> text() const noexcept;
  [[nodiscard]] std::optional<Bytes> bytes() const noexcept;
  [[nodiscard]] std::optional<Bytes> text_or_bytes() const noexcept;  // content of either type

  // The values of a list, or keys and values of a map in turn; empty for anything else.
  class Iterator {
   public:
    using value_type = ValueView;
    using difference_type = std::ptrdiff_t;
    Iterator() noexcept = default;
    Iterator(Bytes rest, uint32_t left) noexcept : rest_(rest), left_(left) {}
    [[nodiscard]] ValueView operator*() const noexcept { return ValueView(rest_); }
    Iterator& operator++() noexcept;
    Iterator operator++(int) noexcept {
      Iterator old = *this;
      ++*this;
      return old;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
      return a.left_ == b.left_;
    }

   private:
    Bytes rest_{};
    uint32_t left_ = 0;  // becomes 0 at the end and at the first malformed element
  };
  [[nodiscard]] Iterator begin() const noexcept;
  [[nodiscard]] Iterator end() const noexcept { return {}; }
  [[nodiscard]] uint32_t size() const noexcept;  // list: values; map: pairs; else 0

  // Of a map: the value of the first key that is the text `name`.
  [[nodiscard]] std::optional<ValueView> find(std::string_view name) const noexcept;

  // Bytes this value takes, nested ones included; 0 when malformed, cut short or deeper than
  // kMaxDepth. Checks structure only.
  [[nodiscard]] size_t encoded_size() const noexcept;
  // The same, and 0 also where a map has a key that is no text, or a text is not UTF-8.
  [[nodiscard]] size_t strict_size() const noexcept;

  static constexpr uint32_t kMaxDepth = limits::kDecodeDepth;

 private:
  Bytes bytes_{};
};

}  // namespace sluice
