// worker/multipart.cc -- the parts of a multipart form, as Django's parser finds them.
#include "worker/multipart.h"

#include <cstring>

#include "protocol/codec.h"
#include "protocol/limits.h"
#include "worker/header_parameters.h"
#include "worker/text_writer.h"
#include "worker/white_space.h"

namespace sluice {
namespace {

constexpr std::string_view kHeadersEnd = "\r\n\r\n";

size_t find_in(std::string_view text, std::string_view what) noexcept {
  const void* found = ::memmem(text.data(), text.size(), what.data(), what.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

// A parameter's value as text.
std::string text_of(const HeaderParameter& parameter, bool strip) {
  if (parameter.decoded) return std::string(strip ? strip_text(parameter.value) : parameter.value);
  const std::string_view bytes = strip ? strip_bytes(parameter.value) : parameter.value;
  return repaired_utf8(bytes);
}

}  // namespace

MultipartReader::MultipartReader(std::string_view body, std::string_view boundary)
    : rest_(body), separator_("--") {
  separator_.append(boundary);
}

bool MultipartReader::next(FormPart& part) {
  if (rest_.empty() || refused_) return false;
  part = FormPart{};
  const size_t found = find_in(rest_, separator_);
  std::string_view whole = rest_.substr(0, found);
  if (found == std::string_view::npos) {
    rest_ = {};
  } else {
    if (whole.ends_with('\n')) whole.remove_suffix(1);
    if (whole.ends_with('\r')) whole.remove_suffix(1);
    rest_.remove_prefix(found + separator_.size());
    part.followed = !rest_.empty();
  }
  part.content = whole;
  const size_t headers_end = find_in(whole.substr(0, limits::kPartHeaderBytes), kHeadersEnd);
  if (headers_end == std::string_view::npos) return true;
  read_headers(whole.substr(0, headers_end), part);
  if (part.kind != FormPart::Kind::kRaw) {
    part.content.remove_prefix(headers_end + kHeadersEnd.size());
  }
  return !refused_;
}

// Of headers given twice the last counts; a line that Django cannot read is passed over.
void MultipartReader::read_headers(std::string_view headers, FormPart& part) {
  while (!headers.empty()) {
    const size_t end = find_in(headers, "\r\n");
    const std::string_view line = headers.substr(0, end);
    headers.remove_prefix(end == std::string_view::npos ? headers.size() : end + 2);
    const HeaderParameters header = parse_header_parameters(line);
    if (header.outcome == HeaderParameters::Outcome::kUnknownCharset) {
      refused_ = true;
      return;
    }
    const size_t colon = header.main.find(':');
    if (header.outcome != HeaderParameters::Outcome::kParsed || colon == std::string::npos)
      continue;
    const std::string_view name = std::string_view(header.main).substr(0, colon);
    const std::string_view value = strip_text(std::string_view(header.main).substr(colon + 1));
    if (name == "content-disposition") {
      const HeaderParameter* field_name = header.find("name");
      const HeaderParameter* file_name = header.find("filename");
      const bool file = file_name != nullptr && !file_name->value.empty();
      part.kind = file ? FormPart::Kind::kFile : FormPart::Kind::kField;
      part.named = field_name != nullptr;
      part.name = part.named ? text_of(*field_name, true) : std::string{};
      part.file_name = file ? text_of(*file_name, false) : std::string{};
    } else if (name == "content-transfer-encoding") {
      part.base64 = value == "base64";
    } else if (name == "content-type") {
      part.content_type = value;
    }
  }
}

}  // namespace sluice
