// worker/proxy_header.cc -- see proxy_header.h.
#include "worker/proxy_header.h"

#include <array>
#include <optional>
#include <utility>

#include "protocol/limits.h"

namespace sluice {
namespace {

constexpr std::string_view kLineStart = "PROXY ";
constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr size_t kFixedBytes = 16;  // signature, version and command, family, length

ProxyHeader refused(std::string_view reason) noexcept {
  return {.progress = ProxyHeader::Progress::kRefused, .reason = reason};
}

// ---- version 1 ----------------------------------------------------------------------------------

// Takes a word and the one space behind it off the line.
std::string_view take_word(std::string_view& line) noexcept {
  const size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

// As it is written: a proxy that listens on a socket for both families writes ::ffff:192.0.2.1.
bool read_end(std::string_view address, std::string_view port, bool v6, IpEndpoint& end) noexcept {
  const std::optional<uint16_t> number = port_in(port);
  const bool zeros = port.size() > 1 && port[0] == '0';
  end = {ip_address_in(address), number.value_or(0)};
  return end.address.known() && number && !zeros &&
         v6 == (address.find(':') != std::string_view::npos);
}

ProxyHeader read_line(std::string_view text) noexcept {
  const size_t newline = text.substr(0, limits::kProxyLineBytes).find('\n');
  if (newline == std::string_view::npos) {
    return text.size() < limits::kProxyLineBytes ? ProxyHeader{} : refused("a line without an end");
  }
  if (text[newline - 1] != '\r') return refused("a line that does not end in CR LF");
  ProxyHeader header{.progress = ProxyHeader::Progress::kWhole, .size = newline + 1};
  std::string_view line = text.substr(kLineStart.size(), newline - 1 - kLineStart.size());
  const std::string_view protocol = take_word(line);
  if (protocol == "UNKNOWN") {
    header.client_kind = ProxyHeader::Client::kUnnamed;
    return header;
  }
  header.client_kind = ProxyHeader::Client::kAddress;
  const bool v6 = protocol == "TCP6";
  if (!v6 && protocol != "TCP4") return refused("a protocol other than TCP4, TCP6 and UNKNOWN");
  const std::string_view client = take_word(line), server = take_word(line), port = take_word(line);
  if (!read_end(client, port, v6, header.client) || !read_end(server, line, v6, header.server)) {
    return refused("a line whose addresses or ports are none");
  }
  return header;
}

// ---- version 2 ----------------------------------------------------------------------------------

uint8_t byte_at(Bytes bytes, size_t at) noexcept { return static_cast<uint8_t>(bytes[at]); }
uint16_t two_at(Bytes bytes, size_t at) noexcept {
  return static_cast<uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

// CRC32c (RFC 3720, appendix B.4) of the header, with zeros in place of the four bytes from `hole` on.
uint32_t checksum(Bytes header, size_t hole) noexcept {
  uint32_t crc = 0xffffffff;
  for (size_t at = 0; at < header.size(); ++at) {
    crc ^= at - hole < 4 ? 0 : byte_at(header, at);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0x82f63b78 & (0 - (crc & 1)));
  }
  return ~crc;
}

// P3; false for what the header must be refused for.
bool read_vectors(Bytes whole, size_t at, ProxyHeader& header) noexcept {
  constexpr uint8_t kChecksum = 0x03, kTls = 0x20;
  constexpr uint8_t kOverTls = 0x01;  // in the first byte of kTls
  constexpr size_t kLeast = 3;        // kind and length
  bool checked = false;
  while (at < whole.size()) {
    if (whole.size() - at < kLeast) return false;
    const uint8_t kind = byte_at(whole, at);
    const size_t size = two_at(whole, at + 1);
    at += kLeast;
    if (whole.size() - at < size) return false;
    if (kind == kChecksum) {
      if (size != 4 || std::exchange(checked, true)) return false;
      const uint32_t said = uint32_t{two_at(whole, at)} << 16 | two_at(whole, at + 2);
      if (said != checksum(whole, at)) return false;
    }
    if (kind == kTls && size >= 5) header.over_tls = (byte_at(whole, at) & kOverTls) != 0;
    at += size;
  }
  return true;
}

ProxyHeader read_binary(Bytes bytes) noexcept {
  constexpr uint8_t kLocal = 0x20, kRelayed = 0x21;  // version 2, and the command
  if (bytes.size() > 12 && byte_at(bytes, 12) != kLocal && byte_at(bytes, 12) != kRelayed) {
    return refused("a version or command that there is not");
  }
  const bool relayed = bytes.size() > 12 && byte_at(bytes, 12) == kRelayed;
  // What stands there beside LOCAL counts for nothing.
  const unsigned family = relayed && bytes.size() > 13 ? byte_at(bytes, 13) >> 4 : 0;
  const unsigned transport = relayed && bytes.size() > 13 ? byte_at(bytes, 13) & 15 : 0;
  if (family > 3 || transport > 2) return refused("a family or transport that there is not");
  if (bytes.size() < kFixedBytes) return {};
  const size_t size = kFixedBytes + two_at(bytes, 14);
  if (size > limits::kProxyHeaderBytes) return refused("too long");

  constexpr std::array<size_t, 4> kAddressBytes = {0, 4, 16, 108};
  const size_t each = kAddressBytes[family];
  const size_t ports = family == 1 || family == 2 ? 4 : 0;
  const bool streamed = family != 0 && transport == 1;
  const size_t vectors = kFixedBytes + 2 * each + ports;
  if (streamed && size < vectors) return refused("too short for its addresses");
  if (bytes.size() < size) return {};

  ProxyHeader header{.progress = ProxyHeader::Progress::kWhole, .size = size};
  if (!streamed) {
    if (relayed) header.client_kind = ProxyHeader::Client::kUnnamed;
    return header;
  }
  header.client_kind = ProxyHeader::Client::kUnixSocket;
  if (ports != 0) {
    header.client_kind = ProxyHeader::Client::kAddress;
    header.client = {ip_address_of(bytes.subspan(kFixedBytes, each)),
                     two_at(bytes, kFixedBytes + 2 * each)};
    header.server = {ip_address_of(bytes.subspan(kFixedBytes + each, each)),
                     two_at(bytes, kFixedBytes + 2 * each + 2)};
  }
  if (!read_vectors(bytes.first(size), vectors, header)) {
    return refused("a vector that does not fit, or a wrong checksum");
  }
  return header;
}

}  // namespace

ProxyHeader read_proxy_header(Bytes bytes) noexcept {
  const std::string_view text = as_text(bytes);
  const auto begins_as = [text](std::string_view start) {
    return text.substr(0, start.size()) == start.substr(0, text.size());
  };
  if (begins_as(kLineStart))
    return text.size() <= kLineStart.size() ? ProxyHeader{} : read_line(text);
  if (!begins_as(kSignature)) return refused("no PROXY header");
  return text.size() < kSignature.size() ? ProxyHeader{} : read_binary(bytes);
}

}  // namespace sluice
