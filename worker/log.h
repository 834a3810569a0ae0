// worker/log.h -- one line per event on stderr; the master uses it too.
//
//   level role[pid] event key=value key="value with \x0a escaped"
//
// G1  One line is one write(2): lines of several processes never mix within a line.
// G2  Values are escaped: bytes a client sent can neither end a line nor forge a field.
// G3  Nothing allocates; what does not fit kLogLineBytes is cut and ends in "...".
// What happens per request is counted (worker/counters.h), not logged.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

enum class LogLevel : uint8_t { kInfo, kWarning, kError };

inline constexpr size_t kLogLineBytes = 1024;  // with its newline; below PIPE_BUF, so G1 holds in a pipe

struct LogValue {
  template <std::integral T>
  LogValue(T value) noexcept : number(static_cast<int64_t>(value)), is_number(true) {}
  LogValue(std::string_view value) noexcept : text(value) {}
  LogValue(const char* value) noexcept : text(value) {}
  LogValue(const std::string& value) noexcept : text(value) {}
  std::string_view text{};
  int64_t number = 0;
  bool is_number = false;
};
struct LogField {
  std::string_view key;  // ours: [a-z_]+
  LogValue value;
};

// Who we are in every line from now on: "master", "worker 3". Call it again after a fork. The text
// is copied, up to 31 bytes.
void set_log_role(std::string_view role) noexcept;

// Writes one line. `event` is ours: words joined by "_".
void log_event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {}) noexcept;

// The line without writing it: how many bytes of `out` it takes, newline included.
[[nodiscard]] size_t format_log_line(std::span<char> out, LogLevel level, std::string_view role, int64_t pid,
                                     std::string_view event, std::span<const LogField> fields) noexcept;

}  // namespace sluice
