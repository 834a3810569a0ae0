// worker/form.cc -- the fields and files of a form, parsed as Django does.
#include "worker/form.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "protocol/limits.h"
#include "worker/base64.h"
#include "worker/file_name.h"
#include "worker/header_name.h"
#include "worker/header_parameters.h"
#include "worker/multipart.h"
#include "worker/query.h"
#include "worker/text_writer.h"
#include "worker/white_space.h"

namespace sluice {
namespace {

struct File {
  FormPart part;
  std::string file_name;
};

void encode_no_files(Encoder& encoder) noexcept { encoder.key("FILES").begin_list().end_list(); }

std::optional<std::string> boundary_of(std::string_view content_type) {
  if (!is_ascii(content_type)) return std::nullopt;
  const HeaderParameters header = parse_header_parameters(content_type);
  if (header.outcome != HeaderParameters::Outcome::kParsed) return std::nullopt;
  const HeaderParameter* boundary = header.find("boundary");
  if (boundary == nullptr) return std::nullopt;
  const std::string& value = boundary->value;
  if (value.empty() || value.size() > limits::kBoundaryBytes || value.back() == ' ') {
    return std::nullopt;
  }
  const bool printable =
      std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (!printable) return std::nullopt;
  return value;
}

void encode_field(const FormPart& part, Encoder& encoder) {
  encoder.begin_list().text(part.name);
  std::string decoded;
  const bool plain = !part.base64 || !decode_base64(part.content, decoded);
  encode_utf8(plain ? part.content : std::string_view(decoded), encoder);
  encoder.end_list();
}

// A file's content without its transfer encoding; false where that is broken. White space is
// left out before quads are counted, as Django does.
bool decode_file(std::string_view content, std::string& out) {
  std::string text;
  text.reserve(content.size());
  std::copy_if(content.begin(), content.end(), std::back_inserter(text),
               [](char c) { return !(c == ' ' || (c >= '\t' && c <= '\r')); });
  return text.size() % 4 == 0 && decode_base64(text, out);
}

Result<void> encode_files(const std::vector<File>& files, Encoder& encoder) {
  encoder.key("FILES").begin_list();
  std::string decoded;
  for (const File& file : files) {
    std::string_view content = file.part.content;
    if (file.part.base64) {
      if (!decode_file(content, decoded)) return Error::kFormMalformed;
      content = decoded;
    }
    // Cut short, or without a name: Django never takes such a file for complete.
    if (!file.part.followed || file.part.name.empty()) continue;
    encoder.begin_map();
    encoder.key("name").text(file.part.name);
    encoder.key("filename").text(file.file_name);
    encoder.key("content_type").text(file.part.content_type);
    encoder.key("content").bytes(as_bytes(content));
    encoder.end_map();
  }
  encoder.end_list();
  return {};
}

Result<void> encode_multipart(std::string_view content_type, std::string_view body,
                              Encoder& encoder) {
  const auto boundary = boundary_of(content_type);
  if (!boundary) return Error::kFormMalformed;

  size_t pieces = 0;       // fields, and what stands around them
  size_t field_bytes = 0;  // as Django counts: a name's characters, 2, and the content
  size_t file_count = 0;
  std::vector<File> files;
  encoder.key("POST").begin_list();
  MultipartReader reader(body, *boundary);
  for (FormPart part; reader.next(part);) {
    if (part.kind == FormPart::Kind::kFile) {
      if (!part.named) continue;
      if (++file_count > limits::kFormFiles) return Error::kTooManyFields;
      std::string file_name = sanitize_file_name(part.file_name);
      if (!file_name.empty()) files.push_back({std::move(part), std::move(file_name)});
      continue;
    }
    if (++pieces > limits::kFormFields + limits::kMultipartExtraFields) {
      return Error::kTooManyFields;
    }
    if (!part.named) continue;
    field_bytes += part.content.size() + count_characters(part.name) + 2;
    if (field_bytes > limits::kFormFieldsBytes) return Error::kFormTooLarge;
    encode_field(part, encoder);
  }
  if (reader.refused()) return Error::kFormMalformed;
  encoder.end_list();
  return encode_files(files, encoder);
}

}  // namespace

FormKind form_kind(std::string_view method, std::string_view content_type) {
  if (method != "POST") return FormKind::kNone;
  // White space of a header's text; above ASCII only what ISO 8859-1 has.
  std::string_view type = content_type.substr(0, content_type.find(';'));
  constexpr std::string_view kSpace = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0";
  const size_t begin = type.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return FormKind::kNone;
  type = type.substr(begin, type.find_last_not_of(kSpace) - begin + 1);
  if (same_header_name(type, "multipart/form-data")) return FormKind::kMultipart;
  if (same_header_name(type, "application/x-www-form-urlencoded")) return FormKind::kUrlencoded;
  return FormKind::kNone;
}

Result<void> encode_form(FormKind kind, std::string_view content_type, std::string_view body,
                         Encoder& encoder) {
  if (kind == FormKind::kMultipart) return encode_multipart(content_type, body, encoder);
  encoder.key("POST");
  if (kind == FormKind::kUrlencoded) {
    if (body.size() > limits::kFormFieldsBytes) return Error::kFormTooLarge;
    if (const Result<void> fields = encode_query(body, encoder); !fields) return fields;
  } else {
    encoder.begin_list().end_list();
  }
  encode_no_files(encoder);
  return {};
}

}  // namespace sluice
