// protocol/codec.cc -- the MessagePack we write: scalars in their shortest form, 16-bit counts for
// containers. Reading is value_view.cc.
#include "protocol/codec.h"

#include "protocol/big_endian.h"

namespace sluice {
namespace {

template <class T>
void store(std::byte* to, T value) noexcept {
  value = big_endian(value);
  std::memcpy(to, &value, sizeof value);
}

// The tag and length bytes before a text.
size_t text_header_size(size_t size) noexcept {
  return size < 32 ? 1 : size < 0x100 ? 2 : size < 0x10000 ? 3 : 5;
}

void put_text_header(std::byte* to, size_t size) noexcept {
  switch (text_header_size(size)) {
    case 1:
      to[0] = static_cast<std::byte>(0xa0 | size);
      return;
    case 2:
      to[0] = std::byte{0xd9};
      store(to + 1, static_cast<uint8_t>(size));
      return;
    case 3:
      to[0] = std::byte{0xda};
      store(to + 1, static_cast<uint16_t>(size));
      return;
    default:
      to[0] = std::byte{0xdb};
      store(to + 1, static_cast<uint32_t>(size));
      return;
  }
}

}  // namespace

std::byte* Encoder::take(size_t size) noexcept {
  ++counts_[depth_];
  if (overflowed_ || size > space_.size() - used_) {
    overflowed_ = true;
    return nullptr;
  }
  std::byte* to = space_.data() + used_;
  used_ += size;
  return to;
}

Encoder& Encoder::null() noexcept {
  if (std::byte* to = take(1)) to[0] = std::byte{0xc0};
  return *this;
}

Encoder& Encoder::boolean(bool value) noexcept {
  if (std::byte* to = take(1)) to[0] = value ? std::byte{0xc3} : std::byte{0xc2};
  return *this;
}

Encoder& Encoder::integer(int64_t value) noexcept {
  const auto put = [this]<class T>(uint8_t tag, T narrow) {
    if (std::byte* to = take(1 + sizeof narrow)) {
      to[0] = std::byte{tag};
      store(to + 1, narrow);
    }
  };
  const auto bits = static_cast<uint64_t>(value);
  if (value >= -32 && value < 128) {
    if (std::byte* to = take(1)) to[0] = static_cast<std::byte>(bits);
  } else if (value >= 0) {
    if (bits <= 0xff)
      put(0xcc, static_cast<uint8_t>(bits));
    else if (bits <= 0xffff)
      put(0xcd, static_cast<uint16_t>(bits));
    else if (bits <= 0xffffffff)
      put(0xce, static_cast<uint32_t>(bits));
    else
      put(0xcf, bits);
  } else {
    if (value >= INT8_MIN)
      put(0xd0, static_cast<uint8_t>(bits));
    else if (value >= INT16_MIN)
      put(0xd1, static_cast<uint16_t>(bits));
    else if (value >= INT32_MIN)
      put(0xd2, static_cast<uint32_t>(bits));
    else
      put(0xd3, bits);
  }
  return *this;
}

Encoder& Encoder::long_text(std::string_view value) noexcept {
  const size_t header = text_header_size(value.size());
  if (value.size() > UINT32_MAX) {
    overflowed_ = true;
  } else if (std::byte* to = take(header + value.size())) {
    put_text_header(to, value.size());
    if (!value.empty()) std::memcpy(to + header, value.data(), value.size());
  }
  return *this;
}

std::byte* Encoder::begin_bytes(size_t size) noexcept {
  const size_t header = size < 0x100 ? 2 : size < 0x10000 ? 3 : 5;
  if (size > UINT32_MAX) {
    overflowed_ = true;
    return nullptr;
  }
  std::byte* to = take(header + size);
  if (to == nullptr) return nullptr;
  to[0] = static_cast<std::byte>(header == 2 ? 0xc4 : header == 3 ? 0xc5 : 0xc6);
  if (header == 2) store(to + 1, static_cast<uint8_t>(size));
  if (header == 3) store(to + 1, static_cast<uint16_t>(size));
  if (header == 5) store(to + 1, static_cast<uint32_t>(size));
  return to + header;
}

Encoder& Encoder::bytes(Bytes value) noexcept {
  std::byte* to = begin_bytes(value.size());
  if (to != nullptr && !value.empty()) std::memcpy(to, value.data(), value.size());
  return *this;
}

std::span<std::byte> Encoder::bytes_in_place(size_t size) noexcept {
  std::byte* to = begin_bytes(size);
  if (to == nullptr) return {};
  return {to, size};
}

std::span<char> Encoder::begin_text(size_t most) noexcept {
  CHECK(!text_open_);
  text_open_ = true;
  text_room_ = 0;
  text_header_ = 0;
  const size_t left = overflowed_ ? 0 : space_.size() - used_;
  const size_t header = text_header_size(most);
  if (left < header) return {};
  text_header_ = static_cast<uint32_t>(header);
  text_room_ = most < left - header ? most : left - header;
  return {reinterpret_cast<char*>(space_.data() + used_ + header), text_room_};
}

void Encoder::end_text(size_t size) noexcept {
  CHECK(text_open_);
  text_open_ = false;
  ++counts_[depth_];
  if (overflowed_ || text_header_ == 0 || size > text_room_ || size > UINT32_MAX) {
    overflowed_ = true;
    return;
  }
  std::byte* to = space_.data() + used_;
  const size_t header = text_header_size(size);
  if (header != text_header_) std::memmove(to + header, to + text_header_, size);
  put_text_header(to, size);
  used_ += header + size;
}

void Encoder::begin(uint8_t tag) noexcept {
  CHECK(depth_ < kMaxDepth);
  std::byte* to = take(3);
  ++depth_;
  counts_[depth_] = 0;
  starts_[depth_] = used_ - 3;
  if (to != nullptr) to[0] = std::byte{tag};
}

void Encoder::end(uint32_t per_element) noexcept {
  CHECK(depth_ > 0);
  CHECK(counts_[depth_] % per_element == 0);
  const uint32_t count = counts_[depth_] / per_element;
  const size_t start = starts_[depth_];
  --depth_;
  if (count > limits::kContainerElements) overflowed_ = true;
  if (!overflowed_) store(space_.data() + start + 1, static_cast<uint16_t>(count));
}

Encoder& Encoder::begin_map() noexcept {
  begin(0xde);
  return *this;
}

Encoder& Encoder::end_map() noexcept {
  end(2);
  return *this;
}

Encoder& Encoder::begin_list() noexcept {
  begin(0xdc);
  return *this;
}

Encoder& Encoder::end_list() noexcept {
  end(1);
  return *this;
}

Encoder& Encoder::raw(Bytes encoded, uint32_t elements) noexcept {
  std::byte* to = take(encoded.size());
  if (to != nullptr && !encoded.empty()) std::memcpy(to, encoded.data(), encoded.size());
  counts_[depth_] += elements - 1;  // take() counted one
  return *this;
}

Result<Bytes> Encoder::finish() const noexcept {
  CHECK(depth_ == 0 && !text_open_);
  if (overflowed_) return Error::kMessageTooLarge;
  return Bytes(space_.data(), used_);
}

}  // namespace sluice
