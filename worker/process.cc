// worker/process.cc -- pidfds and /proc; see process.h.
#include "worker/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>

namespace sluice {
namespace {

// The whole of a file of /proc, whatever its size; nothing when it cannot be read.
std::optional<std::string> read_proc(pid_t pid, const char* file) noexcept {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + file;
  const shm::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::string text;
  char piece[16384];
  for (;;) {
    const ssize_t got = ::read(fd.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) return text;
    text.append(piece, static_cast<size_t>(got));
  }
}

// The text up to the next blank, which is cut off `rest` with the blanks behind it.
std::string_view next_word(std::string_view& rest) noexcept {
  const size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  const size_t next = rest.find_first_not_of(' ', end);
  rest = next == std::string_view::npos ? std::string_view{} : rest.substr(next);
  return word;
}

template <class Number>
std::optional<Number> number_in(std::string_view text, int base) noexcept {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, base);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

}  // namespace

shm::Fd open_pidfd(pid_t pid) noexcept {
  return shm::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

bool has_died(int pidfd) noexcept {
  pollfd asked{pidfd, POLLIN, 0};
  return ::poll(&asked, 1, 0) == 1 && (asked.revents & POLLIN) != 0;
}

void send_signal(int pidfd, int signal) noexcept {
  static_cast<void>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

std::optional<uint64_t> parse_start_time(std::string_view stat) noexcept {
  const size_t name_end = stat.rfind(')');  // field 2 ends with the last one
  if (name_end == std::string_view::npos || name_end + 2 > stat.size()) return std::nullopt;
  std::string_view rest = stat.substr(name_end + 2);  // from field 3
  for (int field = 3; field < 22; ++field) static_cast<void>(next_word(rest));
  return number_in<uint64_t>(next_word(rest), 10);
}

std::optional<uint64_t> start_time_of(pid_t pid) noexcept {
  const auto stat = read_proc(pid, "stat");
  return stat ? parse_start_time(*stat) : std::nullopt;
}

std::optional<bool> writes_mapping(pid_t pid, dev_t device, ino_t inode) noexcept {
  const auto maps = read_proc(pid, "maps");
  if (!maps) return std::nullopt;
  std::string_view rest = *maps;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));

    // address perms offset dev inode path
    static_cast<void>(next_word(line));
    const std::string_view rights = next_word(line);
    static_cast<void>(next_word(line));
    const std::string_view where = next_word(line);
    const auto file = number_in<uint64_t>(next_word(line), 10);
    const size_t colon = where.find(':');
    if (rights.size() < 4 || rights[1] != 'w' || !file || *file != inode) continue;
    if (colon == std::string_view::npos) continue;
    const auto major_number = number_in<unsigned>(where.substr(0, colon), 16);
    const auto minor_number = number_in<unsigned>(where.substr(colon + 1), 16);
    if (!major_number || !minor_number) continue;
    if (makedev(*major_number, *minor_number) == device) return true;
  }
  return false;
}

}  // namespace sluice
