// worker/log.cc -- formats into a buffer on the stack and writes it once; see log.h.
#include "worker/log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace sluice {
namespace {

std::array<char, 32> role_text{"sluice"};  // ends in a zero byte

std::string_view name_of(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "error";
}

// Appends until the space is used up, and remembers that something was left out.
class Line {
 public:
  explicit Line(std::span<char> space) noexcept : space_(space) {}

  void add(std::string_view text) noexcept {
    const size_t room = space_.size() - used_;
    if (text.size() > room) cut_ = true;
    const size_t size = std::min(room, text.size());
    std::memcpy(space_.data() + used_, text.data(), size);
    used_ += size;
  }
  void add(int64_t number) noexcept {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    add({digits, std::min(static_cast<size_t>(end - digits), sizeof digits)});
  }
  void add_escaped(std::string_view text) noexcept {
    static constexpr char kHex[] = "0123456789abcdef";
    add("\"");
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        const char pair[2] = {'\\', c};
        add({pair, 2});
      } else if (byte >= 0x20 && byte < 0x7f) {
        add({&c, 1});
      } else {
        const char escape[4] = {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
        add({escape, 4});
      }
      if (cut_) return;
    }
    add("\"");
  }
  [[nodiscard]] size_t used() const noexcept { return used_; }
  [[nodiscard]] bool cut() const noexcept { return cut_; }

 private:
  std::span<char> space_;
  size_t used_ = 0;
  bool cut_ = false;
};

// Nothing in it that needs quotes.
bool plain(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '=';
  });
}

}  // namespace

void set_log_role(std::string_view role) noexcept {
  const size_t length = std::min(role.size(), role_text.size() - 1);
  std::memcpy(role_text.data(), role.data(), length);
  role_text[length] = '\0';
}

size_t format_log_line(std::span<char> out, LogLevel level, std::string_view role, int64_t pid,
                       std::string_view event, std::span<const LogField> fields) noexcept {
  static constexpr std::string_view kCut = "...";
  if (out.size() < kCut.size() + 1) return 0;
  Line line(out.first(out.size() - kCut.size() - 1));
  line.add(name_of(level));
  line.add(" ");
  line.add(role);
  line.add("[");
  line.add(pid);
  line.add("] ");
  line.add(event);
  for (const LogField& field : fields) {
    line.add(" ");
    line.add(field.key);
    line.add("=");
    if (field.value.is_number) {
      line.add(field.value.number);
    } else if (plain(field.value.text)) {
      line.add(field.value.text);
    } else {
      line.add_escaped(field.value.text);
    }
  }
  size_t used = line.used();
  if (line.cut()) {
    std::memcpy(out.data() + used, kCut.data(), kCut.size());
    used += kCut.size();
  }
  out[used++] = '\n';
  return used;
}

void log_event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) noexcept {
  char line[kLogLineBytes];
  const size_t size = format_log_line(line, level, role_text.data(), ::getpid(), event,
                                      {fields.begin(), fields.size()});
  // A log that nobody can write to must not stop the gateway: what is refused is lost.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line, size);
}

}  // namespace sluice
