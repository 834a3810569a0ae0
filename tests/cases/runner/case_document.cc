// tests/cases/runner/case_document.cc -- see the header.
#include "tests/cases/runner/case_document.h"

#include <sstream>
#include <stdexcept>
#include <string_view>

#include "protocol/limits.h"
#include "tests/cases/runner/http_recorder.h"

namespace sluice::cases {
namespace {

// The bytes that `text` stands for, from `at` to its end or to a '}' that closes a repetition.
std::string unescape(std::string_view text, size_t& at, bool inside) {
  std::string bytes;
  while (at < text.size()) {
    if (inside && text[at] == '}') return bytes;
    if (text[at] != '\\') {
      bytes += text[at++];
      continue;
    }
    if (at + 1 == text.size()) throw std::runtime_error("a '\\' ends a line");
    const char kind = text[at + 1];
    at += 2;
    switch (kind) {
      case 'r':
        bytes += '\r';
        break;
      case 'n':
        bytes += '\n';
        break;
      case 't':
        bytes += '\t';
        break;
      case '0':
        bytes += '\0';
        break;
      case '\\':
        bytes += '\\';
        break;
      case 'x':
        bytes += static_cast<char>(std::stoi(std::string(text.substr(at, 2)), nullptr, 16));
        at += 2;
        break;
      case '{': {
        size_t digits = 0;
        const auto times = std::stoul(std::string(text.substr(at)), &digits);
        at += digits;
        if (at >= text.size() || text[at] != '*') throw std::runtime_error("no '*' in \\{N*text}");
        const std::string once = unescape(text, ++at, true);
        if (at >= text.size()) throw std::runtime_error("a \\{N*text} without its end");
        ++at;
        for (size_t i = 0; i < times; ++i) bytes += once;
        break;
      }
      default:
        throw std::runtime_error(std::string("an escape there is not: \\") + kind);
    }
  }
  if (inside) throw std::runtime_error("a \\{N*text} without its end");
  return bytes;
}
std::string unescape(std::string_view text) {
  size_t at = 0;
  return unescape(text, at, false);
}

void set_limits(const std::string& words, HttpLimits& limits) {
  std::istringstream in(words);
  for (std::string word; in >> word;) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) throw std::runtime_error("a limit without '=': " + word);
    const std::string name = word.substr(0, equals);
    const size_t value = std::stoul(word.substr(equals + 1));
    if (name == "head")
      limits.head_bytes = value;
    else if (name == "line")
      limits.line_bytes = value;
    else if (name == "headers")
      limits.header_count = value;
    else if (name == "body")
      limits.body_bytes = value;
    else
      throw std::runtime_error("a limit there is not: " + name);
  }
}

}  // namespace

CaseDocument parse_case(const std::string& text) {
  CaseDocument document;
  document.limits = {limits::kHeadBytes, limits::kHeaderLineBytes, limits::kHeaderFields,
                     limits::kBodyBytes};
  enum class Part { kTop, kBytes, kEvents, kMessage, kAnswer } part = Part::kTop;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with('#')) continue;
    if (line == "bytes:") {
      part = Part::kBytes;
    } else if (line == "events:") {
      part = Part::kEvents;
    } else if (line == "message:") {
      part = Part::kMessage;
      document.messages.emplace_back();
    } else if (line == "answer:") {
      part = Part::kAnswer;
      document.answers.emplace_back();
    } else if (part == Part::kAnswer) {
      document.answers.back() += unescape(line);
    } else if (part == Part::kBytes) {
      document.bytes += unescape(line);
    } else if (part == Part::kEvents || part == Part::kMessage) {
      const size_t begin = line.find_first_not_of(' ');
      if (begin == std::string::npos) continue;
      auto& lines = part == Part::kEvents ? document.events : document.messages.back();
      lines.push_back(escape(unescape(std::string_view(line).substr(begin))));
    } else if (line.starts_with("limits: ")) {
      set_limits(line.substr(8), document.limits);
    } else if (line == "switch: websocket") {
      document.switching = true;
    } else if (line.starts_with("why: ") || (!document.why.empty() && line.starts_with("  "))) {
      document.why += document.why.empty() ? line.substr(5) : line.substr(1);
    } else if (!line.empty()) {
      throw std::runtime_error("a line there is not: " + line);
    }
  }
  if (document.why.empty()) throw std::runtime_error("it does not say why");
  if (document.bytes.empty()) throw std::runtime_error("no bytes");
  if (document.events.empty()) throw std::runtime_error("no events");
  return document;
}

}  // namespace sluice::cases
