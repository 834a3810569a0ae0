// worker/head_scan.h -- reads the raw head of a request line by line, before llhttp does: refuses
// what llhttp lets through (edges.md) and what HttpLimits forbids, and notes where each field lies.
//
// S1  What is refused, and why, depends on the bytes alone, never on how they were cut: each rule
//     is applied at the byte that completes its evidence, in the order of the bytes.
// S2  In a whole head every line ends in CRLF, no line is folded, every name is a token, and no
//     control character but HTAB in a value is left.
// S3  The bytes scanned are not kept: scan() gets all bytes of the head so far each time, at
//     whatever address, and looks at the new ones only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "worker/http_session.h"

namespace sluice {

class HeadScan {
 public:
  enum class Progress : uint8_t { kMore, kWhole, kRefused };

  // Begins a head. `limits` outlives its scan. Keeps the memory of the last one.
  void begin(const HttpLimits& limits) noexcept;
  // `bytes` is all there is since begin(), perhaps with more behind the head.
  [[nodiscard]] Progress scan(std::string_view bytes) noexcept;

  // Whether more than the empty lines allowed before a head was seen.
  [[nodiscard]] bool begun(size_t size) const noexcept { return in_fields_ || size > line_; }
  // Of a whole head: from its request line to behind its blank line.
  [[nodiscard]] size_t start() const noexcept { return start_; }
  [[nodiscard]] size_t end() const noexcept { return line_; }
  // White space in it that llhttp would stumble over, for the caller to leave out; most often empty.
  [[nodiscard]] std::string_view unwanted(std::string_view bytes) const noexcept {
    return unwanted_.in(bytes);
  }
  [[nodiscard]] const Refusal& refusal() const noexcept { return refusal_; }

  // Describes a whole head; views point into `bytes`, `fields` is where head.headers lies. False
  // when its target or host is no good: refusal() says why.
  [[nodiscard]] bool describe(std::string_view bytes, std::vector<HeaderField>& fields,
                              RequestHead& head) noexcept;

 private:
  // Places in the head; it is bounded, so 32 bits hold them.
  struct Piece {
    uint32_t at = 0;
    uint32_t size = 0;
    [[nodiscard]] std::string_view in(std::string_view bytes) const noexcept {
      return bytes.substr(at, size);
    }
  };
  struct Field {
    Piece name, value;
  };
  static Piece piece(std::string_view bytes, std::string_view part) noexcept {
    return {static_cast<uint32_t>(part.data() - bytes.data()), static_cast<uint32_t>(part.size())};
  }

  Progress refuse(int status, std::string_view reason) noexcept {
    refusal_ = {status, reason, head_method_, {}};
    return Progress::kRefused;
  }
  [[nodiscard]] bool request_line(std::string_view bytes, std::string_view line) noexcept;
  [[nodiscard]] bool version(std::string_view text) noexcept;
  [[nodiscard]] bool field_line(std::string_view bytes, std::string_view line) noexcept;
  [[nodiscard]] bool known_field(std::string_view name, std::string_view value) noexcept;
  [[nodiscard]] bool content_length(std::string_view value) noexcept;
  [[nodiscard]] bool transfer_encoding(std::string_view value) noexcept;
  [[nodiscard]] bool whole() noexcept;

  const HttpLimits* limits_ = nullptr;
  size_t start_ = 0;  // of the request line
  size_t line_ = 0;   // start of the line being scanned
  size_t at_ = 0;     // line_ to here holds no control character but HTAB
  std::vector<Field> fields_;
  Piece method_, target_, unwanted_;
  size_t host_ = 0;  // which field it is, where has_host_
  std::optional<uint64_t> content_length_;
  uint32_t empty_lines_ = 0;
  int minor_version_ = 1;
  bool in_fields_ = false;  // the request line is behind us
  bool head_method_ = false;
  bool has_host_ = false;
  bool chunked_ = false;
  bool close_ = false, keep_alive_ = false, upgrade_ = false;  // named by Connection
  bool websocket_ = false;                                     // named by Upgrade
  bool continue_ = false, other_expectation_ = false;          // named by Expect
  Refusal refusal_{};
};

}  // namespace sluice
