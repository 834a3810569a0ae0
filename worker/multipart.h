// worker/multipart.h -- the parts of a multipart form, as Django's parser finds them in a whole
// body.
//
// P1  A part ends where `--boundary` next stands, wherever in a line, less one line end before it.
//     There is no closing boundary: what follows the last is a part like others, without headers.
// P2  A part's headers end within limits::kPartHeaderBytes, or it has none.
// P3  Content is a view of the body; nothing is copied but names.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

struct FormPart {
  enum class Kind {
    kRaw,    // without Content-Disposition
    kField,  // with one
    kFile,   // and that has a filename
  };
  Kind kind = Kind::kRaw;
  bool named = false;
  std::string name;       // UTF-8
  std::string file_name;  // UTF-8, as the client gave it; worker/file_name.h makes it harmless
  std::string content_type;
  bool base64 = false;
  bool followed = false;  // something stands after the boundary that ends it
  std::string_view content;
};

class MultipartReader {
 public:
  // `boundary` without its two dashes. Both outlive the reader.
  MultipartReader(std::string_view body, std::string_view boundary);
  // Reads the next part; false at the end and at a part that refused() is about.
  [[nodiscard]] bool next(FormPart& part);
  [[nodiscard]] bool refused() const noexcept { return refused_; }

 private:
  void read_headers(std::string_view headers, FormPart& part);

  std::string_view rest_;
  std::string separator_;
  bool refused_ = false;  // a name in a charset we do not know
};

}  // namespace sluice
