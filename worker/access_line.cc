// worker/access_line.cc -- see access_line.h.
#include "worker/access_line.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "protocol/result.h"

namespace sluice {
namespace {

constexpr char kHex[] = "0123456789ABCDEF";
constexpr std::string_view kCut = "...";

// What stands for itself in both formats.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> table{};
  for (unsigned c = 0x20; c < 0x7f; ++c) table[c] = c != '"' && c != '\\';
  return table;
}();

// Everything a line may consist of beside the client's texts: keys, address, numbers, time.
constexpr size_t kOwnBytes = 640;
constexpr size_t kMethodBytes = 32;  // those that are taken are shorter
static_assert(kMethodBytes + limits::kAccessTargetBytes + 2 * limits::kAccessHeaderBytes +
                  4 * kCut.size() + kOwnBytes <= limits::kAccessLineBytes);  // A3

class Out {
 public:
  explicit Out(AccessLineSpace space) noexcept : begin_(space.data()), at_(begin_) {}

  Out& text(std::string_view ours) noexcept {
    std::memcpy(room(ours.size()), ours.data(), ours.size());
    at_ += ours.size();
    return *this;
  }
  Out& number(uint64_t value) noexcept {
    constexpr size_t kDigits = 20;
    at_ = std::to_chars(room(kDigits), at_ + kDigits, value).ptr;
    return *this;
  }
  // Seconds with six digits behind the point.
  Out& seconds(uint64_t microseconds) noexcept {
    number(microseconds / 1'000'000).text(".");
    uint64_t rest = microseconds % 1'000'000;
    char* const digits = room(6);
    for (size_t i = 6; i-- > 0; rest /= 10) digits[i] = static_cast<char>('0' + rest % 10);
    at_ += 6;
    return *this;
  }
  // A client's text, in at most `most` bytes, and kCut where that is not all of it. `escape` gives what
  // stands for the characters at the beginning of a text that are not plain, and takes them off it.
  template <class Escape>
  Out& escaped(std::string_view theirs, size_t most, Escape escape) noexcept {
    const char* const end = room(most + kCut.size()) + most;
    while (!theirs.empty()) {
      size_t plain = 0;
      while (plain < theirs.size() && kPlain[static_cast<unsigned char>(theirs[plain])]) ++plain;
      const size_t fits = std::min(plain, static_cast<size_t>(end - at_));
      text(theirs.substr(0, fits));
      theirs.remove_prefix(fits);
      if (fits < plain) return text(kCut);
      if (theirs.empty()) break;
      const std::string_view instead = escape(theirs);
      if (instead.size() > static_cast<size_t>(end - at_)) return text(kCut);
      text(instead);
    }
    return *this;
  }
  [[nodiscard]] size_t size() const noexcept { return static_cast<size_t>(at_ - begin_); }

 private:
  char* room(size_t bytes) noexcept {
    CHECK(size() + bytes <= limits::kAccessLineBytes);
    return at_;
  }
  char* begin_;
  char* at_;
};

// \xNN for a byte, whichever it is.
struct HexEscape {
  std::array<char, 4> text{'\\', 'x'};
  std::string_view operator()(std::string_view& theirs) noexcept {
    const auto byte = static_cast<unsigned char>(theirs.front());
    theirs.remove_prefix(1);
    text[2] = kHex[byte >> 4];
    text[3] = kHex[byte & 15];
    return {text.data(), text.size()};
  }
};

// The character at the front of a text, taken off it; U+FFFD and one byte for what is no UTF-8.
char32_t take_character(std::string_view& theirs) noexcept {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(theirs[i]); };
  const unsigned char first = byte(0);
  size_t size = 1;
  char32_t character = first;
  char32_t least = 0;  // what needs so many bytes: a shorter one written long is no UTF-8
  if (first >= 0xf0 && first < 0xf5) {
    size = 4, character = first & 0x07u, least = 0x10000;
  } else if (first >= 0xe0 && first < 0xf0) {
    size = 3, character = first & 0x0fu, least = 0x800;
  } else if (first >= 0xc2 && first < 0xe0) {
    size = 2, character = first & 0x1fu, least = 0x80;
  } else if (first >= 0x80) {
    size = 0;
  }
  bool valid = size != 0 && size <= theirs.size();
  for (size_t i = 1; valid && i < size; ++i) {
    valid = (byte(i) & 0xc0) == 0x80;
    character = character << 6 | (byte(i) & 0x3fu);
  }
  const bool surrogate = character >= 0xd800 && character < 0xe000;
  if (!valid || character < least || character > 0x10ffff || surrogate) {
    theirs.remove_prefix(1);
    return 0xfffd;
  }
  theirs.remove_prefix(size);
  return character;
}

// Pure ASCII: what a terminal or an editor makes of other characters is no business of a log.
struct JsonEscape {
  std::array<char, 12> text;
  std::string_view operator()(std::string_view& theirs) noexcept {
    const char first = theirs.front();
    if (first == '"' || first == '\\') {
      theirs.remove_prefix(1);
      text[0] = '\\';
      text[1] = first;
      return {text.data(), 2};
    }
    const char32_t character = take_character(theirs);
    if (character < 0x10000) return {text.data(), unit(0, character)};
    const char32_t beyond = character - 0x10000;
    unit(0, 0xd800 + (beyond >> 10));
    return {text.data(), unit(6, 0xdc00 + (beyond & 0x3ff))};
  }

 private:
  size_t unit(size_t at, char32_t value) noexcept {
    text[at] = '\\';
    text[at + 1] = 'u';
    for (size_t i = 0; i < 4; ++i) text[at + 2 + i] = kHex[value >> (12 - 4 * i) & 15];
    return at + 6;
  }
};

std::string_view address_of(const AccessLine& line) noexcept {
  return line.client.empty() ? std::string_view("unix:") : line.client;
}

AccessTime formatted(const std::tm& local, const char* format) noexcept {
  AccessTime time;
  time.size = std::strftime(time.text.data(), time.text.size(), format, &local);
  return time;
}

}  // namespace

AccessTime combined_time(const std::tm& local) noexcept {
  // No %b: a month's name must not depend on the locale.
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  AccessTime time = formatted(local, "%d/---/%Y:%H:%M:%S %z");
  const auto month = static_cast<size_t>(std::clamp(local.tm_mon, 0, 11));
  if (time.size > 6) kMonths.copy(time.text.data() + 3, 3, 3 * month);
  return time;
}

AccessTime json_time(const std::tm& local) noexcept {
  AccessTime time = formatted(local, "%Y-%m-%dT%H:%M:%S%z");
  if (time.size < 5 || time.size == time.text.size()) return time;
  char* const minutes = time.text.data() + time.size - 2;  // +0100 becomes +01:00
  std::memmove(minutes + 1, minutes, 2);
  *minutes = ':';
  ++time.size;
  return time;
}

size_t write_combined(const AccessLine& line, std::string_view time, AccessLineSpace space) noexcept {
  Out out(space);
  const auto theirs = [&](std::string_view text, size_t most) {
    text.empty() ? out.text("-") : out.escaped(text, most, HexEscape());
  };
  out.text(address_of(line)).text(" - - [").text(time).text("] \"");
  if (!line.method.empty()) out.escaped(line.method, kMethodBytes, HexEscape()).text(" ");
  theirs(line.target, limits::kAccessTargetBytes);
  if (!line.method.empty()) out.text(line.minor_version == 0 ? " HTTP/1.0" : " HTTP/1.1");
  out.text("\" ").number(static_cast<uint64_t>(line.status)).text(" ").number(line.sent).text(" \"");
  theirs(line.referer, limits::kAccessHeaderBytes);
  out.text("\" \"");
  theirs(line.user_agent, limits::kAccessHeaderBytes);
  out.text("\" ").seconds(line.duration_us).text(" ").number(line.received).text(" ");
  out.text(line.channel.empty() ? std::string_view("-") : line.channel).text(" ");
  line.consumer == 0 ? out.text("-") : out.number(line.consumer);
  out.text(" ").number(line.worker).text(" ");
  if (line.close_code != 0) {
    out.number(line.close_code);
  } else {
    out.text(line.complete ? "-" : "cut");
  }
  return out.text("\n").size();
}

size_t write_json(const AccessLine& line, std::string_view time, AccessLineSpace space) noexcept {
  Out out(space);
  const auto theirs = [&](std::string_view key, std::string_view text, size_t most) {
    out.text(key);
    if (text.empty()) {
      out.text("null");
    } else {
      out.text("\"").escaped(text, most, JsonEscape()).text("\"");
    }
  };
  const auto ours = [&](std::string_view key, std::string_view text) {
    out.text(key);
    text.empty() ? out.text("null") : out.text("\"").text(text).text("\"");
  };
  const auto count = [&](std::string_view key, uint64_t number, bool known = true) {
    out.text(key);
    known ? out.number(number) : out.text("null");
  };
  const bool known = !line.method.empty();
  ours("{\"time\":", time);
  ours(",\"client\":", address_of(line));
  theirs(",\"method\":", line.method, kMethodBytes);
  theirs(",\"target\":", line.target, limits::kAccessTargetBytes);
  ours(",\"protocol\":", !known ? "" : line.minor_version == 0 ? "HTTP/1.0" : "HTTP/1.1");
  count(",\"status\":", static_cast<uint64_t>(line.status));
  count(",\"sent\":", line.sent);
  theirs(",\"referer\":", line.referer, limits::kAccessHeaderBytes);
  theirs(",\"user_agent\":", line.user_agent, limits::kAccessHeaderBytes);
  out.text(",\"duration\":").seconds(line.duration_us);
  count(",\"received\":", line.received);
  ours(",\"channel\":", line.channel);
  count(",\"consumer\":", line.consumer, line.consumer != 0);
  count(",\"worker\":", line.worker);
  count(",\"close_code\":", line.close_code, line.close_code != 0);
  return out.text(",\"complete\":").text(line.complete ? "true" : "false").text("}\n").size();
}

void AccessRecord::keep(std::string_view method, std::string_view target, std::string_view referer,
                        std::string_view user_agent) {
  // A byte more than fits: so its line is marked as cut.
  target = target.substr(0, limits::kAccessTargetBytes + 1);
  referer = referer.substr(0, limits::kAccessHeaderBytes + 1);
  user_agent = user_agent.substr(0, limits::kAccessHeaderBytes + 1);
  text_.clear();
  text_.reserve(method.size() + target.size() + referer.size() + user_agent.size());
  const auto copy = [this](std::string_view text) {
    const size_t at = text_.size();
    text_.append(text);
    return std::string_view(text_).substr(at);
  };
  line.method = copy(method);
  line.target = copy(target);
  line.referer = copy(referer);
  line.user_agent = copy(user_agent);
}

void AccessRecord::keep_client(std::string_view client) {
  client_ = client;
  line.client = client_;
}

}  // namespace sluice
