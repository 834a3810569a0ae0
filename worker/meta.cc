// worker/meta.cc -- a head as Django's request.META, request.path and request.path_info have it.
#include "worker/meta.h"

#include <array>
#include <cstring>

#include "protocol/limits.h"
#include "worker/header_name.h"
#include "worker/percent.h"
#include "worker/text_writer.h"

namespace sluice {
namespace {

constexpr std::string_view kHttpPrefix = "HTTP_";

// Which fields of a head make one entry of META: chains of fields of one name, found through a
// table of a few bytes on the stack. Fields past kMost stand alone; a head has no more than that.
class SameNames {
 public:
  static constexpr size_t kMost = 1024;
  static_assert(kMost >= limits::kOptionHeadersMost);

  explicit SameNames(std::span<const HeaderField> headers) noexcept : headers_(headers) {
    const size_t count = headers.size() < kMost ? headers.size() : kMost;
    for (size_t i = 0; i < count; ++i) add(static_cast<uint16_t>(i));
  }

  [[nodiscard]] bool first_of_its_name(size_t i) const noexcept {
    return i >= kMost || !follows_[i];
  }
  // The next field of the same name, or headers.size().
  [[nodiscard]] size_t next(size_t i) const noexcept {
    return i < kMost && next_[i] != 0 ? next_[i] : headers_.size();
  }

 private:
  static constexpr size_t kBuckets = 128;

  [[nodiscard]] static size_t bucket_of(std::string_view name) noexcept {
    if (name.empty()) return 0;
    const auto at = [&](size_t i) { return static_cast<uint8_t>(lower_case(name[i])); };
    return (name.size() * 31u + at(0) * 7u + at(name.size() / 2) * 13u + at(name.size() - 1)) %
           kBuckets;
  }

  void add(uint16_t i) noexcept {
    uint16_t& bucket = buckets_[bucket_of(headers_[i].name)];
    next_[i] = 0;
    follows_[i] = false;
    // Only the first of each name is in a bucket; last_ leads to the end of its chain.
    for (uint16_t other = bucket; other != 0; other = collides_[other - 1u]) {
      const size_t first = other - 1u;
      if (!same_header_name(headers_[first].name, headers_[i].name)) continue;
      next_[last_[first]] = i;
      last_[first] = i;
      follows_[i] = true;
      return;
    }
    last_[i] = i;
    collides_[i] = bucket;
    bucket = static_cast<uint16_t>(i + 1u);
  }

  std::span<const HeaderField> headers_;
  std::array<uint16_t, kBuckets> buckets_{};  // index + 1 of a name's first field; 0: none
  std::array<uint16_t, kMost> collides_;      // the next name in the same bucket, in the same way
  std::array<uint16_t, kMost> last_;          // of a first field: the last of its name so far
  std::array<uint16_t, kMost> next_;          // 0: none; field 0 follows nobody
  std::array<bool, kMost> follows_;
};

// Appends the key; false, and nothing appended, for a name that META must not have.
bool encode_meta_name(std::string_view name, Encoder& encoder) noexcept {
  if (name.empty() || !is_ascii(name)) return false;
  if (std::memchr(name.data(), '_', name.size()) != nullptr) return false;
  switch (name.size()) {
    case 5:
      if (same_header_name(name, "proxy")) return false;
      break;
    case 12:
      if (same_header_name(name, "content-type")) {
        encoder.key("CONTENT_TYPE");
        return true;
      }
      break;
    case 14:
      if (same_header_name(name, "content-length")) {
        encoder.key("CONTENT_LENGTH");
        return true;
      }
      break;
    default:
      break;
  }
  const size_t size = kHttpPrefix.size() + name.size();
  const std::span<char> room = encoder.begin_text(size);
  if (room.size() == size) {
    std::memcpy(room.data(), kHttpPrefix.data(), kHttpPrefix.size());
    for (size_t i = 0; i < name.size(); ++i) room[kHttpPrefix.size() + i] = meta_case(name[i]);
  }
  encoder.end_text(size);
  return true;
}

void encode_joined(std::span<const HeaderField> headers, const SameNames& names, size_t first,
                   Encoder& encoder) noexcept {
  const std::string_view joint = same_header_name(headers[first].name, "cookie") ? "; " : ",";
  size_t most = 0;
  for (size_t i = first; i < headers.size(); i = names.next(i)) {
    most += headers[i].value.size() * 2 + joint.size();
  }
  TextWriter writer(encoder, most);
  for (size_t i = first; i < headers.size(); i = names.next(i)) {
    if (i != first) writer.put(joint);
    for (const char c : headers[i].value) writer.latin1(static_cast<uint8_t>(c));
  }
  writer.end();
}

}  // namespace

void encode_meta(const MetaSource& source, Encoder& encoder) noexcept {
  encoder.begin_map();
  encoder.key("REQUEST_METHOD").text(source.method);
  encoder.key("SCRIPT_NAME").text(source.script_name);
  encoder.key("PATH_INFO").text(source.path_info);
  encoder.key("QUERY_STRING");
  encode_latin1(source.query_string, encoder);
  encoder.key("SERVER_NAME");
  encode_latin1(source.server_name, encoder);
  encoder.key("SERVER_PORT").text(source.server_port);
  encoder.key("SERVER_PROTOCOL").text(source.protocol);
  encoder.key("REMOTE_ADDR").text(source.remote_addr);
  encoder.key("REMOTE_HOST").text(source.remote_addr);
  encoder.key("REMOTE_PORT").text(source.remote_port);
  const SameNames names(source.headers);
  for (size_t i = 0; i < source.headers.size(); ++i) {
    if (!names.first_of_its_name(i)) continue;
    if (!encode_meta_name(source.headers[i].name, encoder)) continue;
    if (names.next(i) == source.headers.size()) {
      encode_latin1(source.headers[i].value, encoder);
    } else {
      encode_joined(source.headers, names, i, encoder);
    }
  }
  encoder.end_map();
}

void encode_headers(std::span<const HeaderField> headers, Encoder& encoder) noexcept {
  encoder.begin_list();
  for (const HeaderField& field : headers) {
    encoder.begin_list();
    const std::span<std::byte> name = encoder.bytes_in_place(field.name.size());
    for (size_t i = 0; i < name.size(); ++i) {
      name[i] = static_cast<std::byte>(lower_case(field.name[i]));
    }
    encoder.bytes(as_bytes(field.value));
    encoder.end_list();
  }
  encoder.end_list();
}

std::string_view decode_path(std::string_view raw_path, std::string& scratch) {
  if (raw_path.find('%') == std::string_view::npos && valid_utf8(raw_path)) return raw_path;
  scratch.clear();
  for (size_t at = 0; at < raw_path.size(); ++at) {
    const int value = percent_escape(raw_path, at);
    scratch.push_back(value < 0 ? raw_path[at] : static_cast<char>(value));
    if (value >= 0) at += 2;
  }
  if (valid_utf8(scratch)) return scratch;

  // Escape again, byte by byte, what begins no character; rare, so plain.
  const std::string decoded = scratch;
  scratch.clear();
  for (size_t at = 0; at < decoded.size();) {
    const std::string_view rest = std::string_view(decoded).substr(at);
    size_t size = 1;
    while (size <= 4 && size <= rest.size() && !valid_utf8(rest.substr(0, size))) ++size;
    if (size <= 4 && size <= rest.size()) {
      scratch.append(rest.substr(0, size));
      at += size;
    } else {
      constexpr std::string_view kDigits = "0123456789ABCDEF";
      const auto byte = static_cast<uint8_t>(rest[0]);
      scratch.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
      at += 1;
    }
  }
  return scratch;
}

std::string_view path_info_of(std::string_view decoded_path,
                              std::string_view script_name) noexcept {
  if (!script_name.empty() && decoded_path.starts_with(script_name)) {
    const std::string_view rest = decoded_path.substr(script_name.size());
    if (rest.empty() || rest.front() == '/' || script_name.back() == '/') decoded_path = rest;
  }
  return decoded_path.empty() ? std::string_view("/") : decoded_path;
}

void encode_path(std::string_view script_name, std::string_view path_info,
                 Encoder& encoder) noexcept {
  while (!script_name.empty() && script_name.back() == '/') script_name.remove_suffix(1);
  if (script_name.empty() && path_info.starts_with('/')) {
    encoder.text(path_info);
    return;
  }
  const size_t slash = path_info.find('/');
  TextWriter writer(encoder, script_name.size() + 1 + path_info.size());
  writer.put(script_name);
  writer.put('/');
  writer.put(path_info.substr(0, slash));
  if (slash != std::string_view::npos) writer.put(path_info.substr(slash + 1));
  writer.end();
}

}  // namespace sluice
