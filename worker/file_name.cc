// worker/file_name.cc -- what a client calls a file, made as harmless as Django makes it.
#include "worker/file_name.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "protocol/limits.h"
#include "worker/percent.h"

namespace sluice {
namespace {

struct Entity {
  std::string_view name;  // without `&`; most end in `;`
  std::string_view text;
};

constexpr Entity kEntities[] = {
#include "html_entities.inc"
};

std::optional<std::string_view> find_entity(std::string_view name) noexcept {
  const auto* found = std::lower_bound(
      std::begin(kEntities), std::end(kEntities), name,
      [](const Entity& entity, std::string_view key) { return entity.name < key; });
  if (found == std::end(kEntities) || found->name != name) return std::nullopt;
  return found->text;
}

void append_character(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out.push_back(static_cast<char>(0xc0 | (code >> 6)));
    out.push_back(static_cast<char>(0x80 | (code & 63)));
  } else if (code < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | (code >> 12)));
    out.push_back(static_cast<char>(0x80 | ((code >> 6) & 63)));
    out.push_back(static_cast<char>(0x80 | (code & 63)));
  } else {
    out.push_back(static_cast<char>(0xf0 | (code >> 18)));
    out.push_back(static_cast<char>(0x80 | ((code >> 12) & 63)));
    out.push_back(static_cast<char>(0x80 | ((code >> 6) & 63)));
    out.push_back(static_cast<char>(0x80 | (code & 63)));
  }
}

// What HTML 5 makes of a number: windows-1252 for 128 to 159, nothing for what is no character.
void append_numbered(uint32_t code, std::string& out) {
  constexpr std::array<uint16_t, 32> kWindows1252 = {
      0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
      0x2039, 0x0152, 0x8d,   0x017d, 0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
      0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178};
  if (code >= 0x80 && code < 0xa0) return append_character(kWindows1252[code - 0x80], out);
  if (code == 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) {
    return append_character(0xfffd, out);
  }
  const bool control = code < 0x20 && code != 0x09 && code != 0x0a && code != 0x0c && code != 0x0d;
  if (control || code == 0x7f || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe) {
    return;
  }
  append_character(code, out);
}

bool is_continuation(char c) noexcept { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

// `&#...` at the front of `text`: appends it and gives its length, 0 when it is none.
size_t take_number(std::string_view text, std::string& out) {
  const bool hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  const int base = hex ? 16 : 10;
  const size_t begin = hex ? 3 : 2;
  size_t at = begin;
  uint32_t code = 0;
  for (; at < text.size(); ++at) {
    const int digit = hex_digit(text[at]);
    if (digit < 0 || digit >= base) break;
    code = std::min<uint32_t>(code * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit),
                              0x110000);
  }
  if (at == begin) return 0;
  if (at < text.size() && text[at] == ';') ++at;
  append_numbered(code, out);
  return at;
}

// `&name` at the front of `text`, in the same way. A name not known in whole may begin with one
// that is; else it stays, and is not looked at again.
size_t take_name(std::string_view text, std::string& out) {
  constexpr size_t kMostCharacters = 32;
  size_t end = 1;
  for (size_t characters = 0; end < text.size() && characters < kMostCharacters; ++characters) {
    if (std::string_view("\t\n\f <&#;").find(text[end]) != std::string_view::npos) break;
    ++end;
    while (end < text.size() && is_continuation(text[end])) ++end;
  }
  if (end == 1) return 0;
  if (end < text.size() && text[end] == ';') ++end;
  const std::string_view name = text.substr(1, end - 1);
  if (const auto known = find_entity(name)) {
    out.append(*known);
    return end;
  }
  for (size_t size = name.size() - 1; size > 1; --size) {
    const auto known = find_entity(name.substr(0, size));
    if (!known) continue;
    out.append(*known).append(name.substr(size));
    return end;
  }
  out.append(text.substr(0, end));
  return end;
}

// The bytes the first `characters` of UTF-8 text take.
size_t bytes_of(std::string_view text, size_t characters) noexcept {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (!is_continuation(text[at]) && characters-- == 0) break;
  }
  return at;
}

// Where the extension begins: the last dot, unless only dots stand before it.
size_t extension_of(std::string_view name) noexcept {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return name.size();
  return name.substr(0, dot).find_first_not_of('.') == std::string_view::npos ? name.size() : dot;
}

}  // namespace

std::string unescape_html(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t begin = text.find('&');
    out.append(text.substr(0, begin));
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const bool numbered = text.size() > 1 && text[1] == '#';
    const size_t taken = numbered ? take_number(text, out) : take_name(text, out);
    if (taken == 0) out.push_back('&');
    text.remove_prefix(taken == 0 ? 1 : taken);
  }
  return out;
}

std::string sanitize_file_name(std::string_view name) {
  std::string clean = unescape_html(name);
  if (const size_t slash = clean.rfind('/'); slash != std::string::npos) clean.erase(0, slash + 1);
  if (const size_t slash = clean.rfind('\\'); slash != std::string::npos) clean.erase(0, slash + 1);
  if (clean == "." || clean == "..") return {};
  if (count_characters(clean) <= limits::kFileNameCharacters) return clean;
  const size_t dot = extension_of(clean);
  std::string extension = clean.substr(dot);
  extension.resize(bytes_of(extension, limits::kFileNameCharacters));
  clean.resize(dot);
  clean.resize(bytes_of(clean, limits::kFileNameCharacters - count_characters(extension)));
  return clean + extension;
}

size_t count_characters(std::string_view text) noexcept {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

}  // namespace sluice
