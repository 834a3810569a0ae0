// worker/handshake_digest.cc -- SHA-1 is Boost's, in both shapes its versions give a digest; base64
// is a dozen lines.
#include "worker/handshake_digest.h"

#include <array>
#include <boost/uuid/detail/sha1.hpp>
#include <cstdint>

namespace sluice {
namespace {

using Digest = std::array<uint8_t, 20>;

// Boost to 1.85: five words, the most significant byte first.
[[maybe_unused]] Digest to_digest(const unsigned int (&words)[5]) {
  Digest digest{};
  for (size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<uint8_t>(words[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

// Boost from 1.86 on: the bytes themselves.
[[maybe_unused]] Digest to_digest(const unsigned char (&bytes)[20]) { return std::to_array(bytes); }

std::string to_base64(const Digest& digest) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < digest.size(); at += 3) {
    const size_t size = digest.size() - at < 3 ? digest.size() - at : 3;
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < size ? digest[at + i] : 0u);
    for (size_t i = 0; i < 4; ++i) {
      text.push_back(i <= size ? kAlphabet[bits >> (18 - 6 * i) & 63] : '=');
    }
  }
  return text;
}

}  // namespace

std::string sha1_base64(std::string_view text) {
  boost::uuids::detail::sha1 sha1;
  sha1.process_bytes(text.data(), text.size());
  boost::uuids::detail::sha1::digest_type digest;
  sha1.get_digest(digest);
  return to_base64(to_digest(digest));
}

std::string handshake_accept(std::string_view key) {
  return sha1_base64(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
}

}  // namespace sluice
