// worker/networks.cc -- see networks.h.
#include "worker/networks.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace sluice {
namespace {

[[noreturn]] void refuse(std::string_view text) {
  throw std::invalid_argument("must be addresses, networks like 192.0.2.0/24, or unix, not '" +
                              std::string(text) + "'");
}

// The bits of a prefix within an address of `width` bits.
unsigned prefix_in(std::string_view number, unsigned width, std::string_view text) {
  unsigned bits = 0;
  const char* const end = number.data() + number.size();
  const auto [behind, error] = std::from_chars(number.data(), end, bits);
  if (number.size() > 3 || error != std::errc{} || behind != end || bits > width) refuse(text);
  return bits;
}

}  // namespace

void Networks::add(std::string_view text) {
  if (text == "unix") {
    unix_sockets_ = true;
    texts_.emplace_back(text);
    return;
  }
  const size_t slash = text.find('/');
  const std::string_view address_text = text.substr(0, slash);
  const IpAddress address = ip_address_in(address_text);
  if (!address.known()) refuse(text);
  const unsigned width = address.family == IpAddress::Family::kV4 ? 32 : 128;
  unsigned bits = width;
  if (slash != std::string_view::npos) {
    // An IPv4 address written as one of IPv6 is counted as it is written.
    const unsigned before = address_text.find(':') == std::string_view::npos ? 0 : 128 - width;
    bits = prefix_in(text.substr(slash + 1), width + before, text);
    if (bits < before) refuse(text);
    bits -= before;
  }

  Range range{address, address};
  for (unsigned bit = bits; bit < width; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80u >> (bit % 8));
    range.first.bytes[bit / 8] &= static_cast<uint8_t>(~mask);
    range.last.bytes[bit / 8] |= mask;
  }
  std::string shortest(IpText(range.first).view());
  if (bits < width) shortest.append("/").append(std::to_string(bits));
  if (range.first != address) {
    throw std::invalid_argument("must be networks without further bits: " + shortest + ", not '" +
                                std::string(text) + "'");
  }
  texts_.push_back(std::move(shortest));

  // Two networks are apart, or one lies within the other: then the wider one comes first.
  ranges_.push_back(range);
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) {
    return a.first != b.first ? a.first < b.first : a.last > b.last;
  });
  std::vector<Range> apart;
  for (const Range& each : ranges_) {
    if (apart.empty() || each.first > apart.back().last) apart.push_back(each);
  }
  ranges_ = std::move(apart);
}

bool Networks::contains(const IpAddress& address) const noexcept {
  if (!address.known()) return false;
  const auto behind = std::upper_bound(
      ranges_.begin(), ranges_.end(), address,
      [](const IpAddress& wanted, const Range& range) { return wanted < range.first; });
  return behind != ranges_.begin() && address <= std::prev(behind)->last;
}

}  // namespace sluice
