// worker/access_line.h -- one line of the access log: a finished exchange in, bytes out. Knows no file,
// clock or socket.
//
// A1  A line is one line whatever the client sent: printable ASCII, one newline, at its end.
// A2  A client's bytes begin and end in quotes that they cannot write.
// A3  At most limits::kAccessLineBytes. A text that was too long ends in "...", never within an escape.
#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <span>
#include <string>
#include <string_view>

#include "protocol/limits.h"

namespace sluice {

// Statuses of answers that were never sent; nginx has the same numbers for the same.
inline constexpr int kStatusClientLeft = 499;  // the client reset the connection before its answer began
inline constexpr int kStatusUnanswered = 444;  // we closed before it began: a stop, an answer cut before

// What is known of an exchange at its end. Views are valid for as long as their owner says.
struct AccessLine {
  std::string_view client{};    // its address; empty: through a unix socket
  std::string_view method{};    // empty: the head was refused, or none came
  std::string_view target{};    // as sent; without a method, what came of a head's first line
  std::string_view referer{};   // empty: none
  std::string_view user_agent{};  // empty: none
  std::string_view channel{};   // that the request was published on; empty: on none
  uint64_t received = 0;        // bytes: the head and the decoded body; of a WebSocket its frames too
  uint64_t sent = 0;            // bytes of the answer's body, without framing; of a WebSocket its frames
  uint64_t duration_us = 0;     // from the first byte of the head to the end of the answer
  uint32_t consumer = 0;        // process id of who answered, or has taken it; 0: nobody
  uint32_t worker = 0;          // its number
  int status = 0;
  int minor_version = 1;    // HTTP/1.<minor>, where there is a method
  uint16_t close_code = 0;  // of a WebSocket; 0 of any other
  bool complete = true;     // the whole answer went out
};

// A moment as a log shows it: local time with its offset from UTC.
struct AccessTime {
  std::array<char, 32> text;
  size_t size = 0;
  [[nodiscard]] std::string_view view() const noexcept { return {text.data(), size}; }
};
[[nodiscard]] AccessTime combined_time(const std::tm& local) noexcept;  // 27/Nov/2026:14:03:05 +0100
[[nodiscard]] AccessTime json_time(const std::tm& local) noexcept;      // 2026-11-27T14:03:05+01:00

using AccessLineSpace = std::span<char, limits::kAccessLineBytes>;
// Write a line, newline included; give its size. `time` is ours.
[[nodiscard]] size_t write_combined(const AccessLine& line, std::string_view time,
                                    AccessLineSpace out) noexcept;
[[nodiscard]] size_t write_json(const AccessLine& line, std::string_view time, AccessLineSpace out) noexcept;

// What is remembered of a request until its line is written. Used again: the text keeps its memory.
struct AccessRecord {
  AccessLine line;  // its views lie in `text` or are static
  uint64_t began_us = 0;  // monotonic

  // Copies what a line can show of these texts, and points the line at the copies.
  void keep(std::string_view method, std::string_view target, std::string_view referer,
            std::string_view user_agent);
  // Whom a trusted proxy names, in place of the connection's other end.
  void keep_client(std::string_view client);
  void reset() noexcept { line = {}; }

 private:
  std::string client_;
  std::string text_;
};

}  // namespace sluice
