// tests/unit/worker/form_test.cc -- forms as messages.md has them: fields, files, bounds, broken
// ones.
#include "worker/form.h"

#include <doctest/doctest.h>

#include <string>

#include "protocol/limits.h"
#include "tests/support/show.h"
#include "worker/file_name.h"

namespace sluice {
namespace {

constexpr std::string_view kUrlencodedType = "application/x-www-form-urlencoded";
constexpr std::string_view kMultipartType = "multipart/form-data; boundary=b";

std::string parsed(std::string_view content_type, std::string_view body,
                   std::string_view method = "POST") {
  std::string space(4 << 20, '\0');
  Encoder encoder(std::as_writable_bytes(std::span<char>(space.data(), space.size())));
  encoder.begin_map();
  const Result<void> done =
      encode_form(form_kind(method, content_type), content_type, body, encoder);
  if (!done) return std::string(describe(done.error()));
  encoder.end_map();
  return test::show(ValueView(encoder.finish().value()));
}

std::string part(std::string_view headers, std::string_view content) {
  return "--b\r\n" + std::string(headers) + "\r\n\r\n" + std::string(content) + "\r\n";
}
std::string field(std::string_view parameters, std::string_view content) {
  return part("Content-Disposition: form-data; " + std::string(parameters), content);
}
std::string multipart(const std::string& parts) {
  return parsed(kMultipartType, parts + "--b--\r\n");
}

TEST_CASE("a body is a form only for POST, exactly, and a form's content type in any case") {
  CHECK_EQ(form_kind("POST", kUrlencodedType), FormKind::kUrlencoded);
  CHECK_EQ(form_kind("POST", "Application/X-WWW-form-urlencoded ; charset=x"),
           FormKind::kUrlencoded);
  CHECK_EQ(form_kind("POST", kMultipartType), FormKind::kMultipart);
  CHECK_EQ(form_kind("PUT", kUrlencodedType), FormKind::kNone);
  CHECK_EQ(form_kind("post", kUrlencodedType), FormKind::kNone);
  CHECK_EQ(form_kind("POST", ""), FormKind::kNone);
  CHECK_EQ(form_kind("POST", "multipart/mixed; boundary=b"), FormKind::kNone);
  CHECK_EQ(parsed("application/json", "{}"), R"({"POST":[],"FILES":[]})");
}

TEST_CASE("an urlencoded form is parsed as a query is") {
  CHECK_EQ(parsed(kUrlencodedType, "a=1&a=%C3%A9"),
           "{\"POST\":[[\"a\",\"1\"],[\"a\",\"\u00e9\"]],\"FILES\":[]}");
}

TEST_CASE("an urlencoded form has 2.5 MiB and 1000 fields at most") {
  const std::string largest = "a=" + std::string(limits::kFormFieldsBytes - 2, 'x');
  CHECK_NE(parsed(kUrlencodedType, largest), "form too large");
  CHECK_EQ(parsed(kUrlencodedType, largest + "x"), "form too large");
  CHECK_EQ(parsed(kUrlencodedType, std::string(1000, '&')), "too many form fields");
}

TEST_CASE("fields and files of a multipart form are kept in their order") {
  CHECK_EQ(multipart(field("name=\"a\"", "1") + field("name=f; filename=\"x.txt\"", "file") +
                     field("name=a", "line\r\n2")),
           "{\"POST\":[[\"a\",\"1\"],[\"a\",\"line\r\n2\"]],"
           "\"FILES\":[{\"name\":\"f\",\"filename\":\"x.txt\",\"content_type\":\"\",\"content\":<"
           "file>}]}");
}

TEST_CASE("a file's content type comes in lower case and without its parameters") {
  const std::string form = multipart(part(
      "Content-Type: Text/HTML; charset=x\r\ncontent-disposition: form-data; name=f; filename=x",
      ""));

  CHECK_NE(form.find(R"("content_type":"text/html")"), std::string::npos);
}

TEST_CASE("names may be quoted, escaped, and in a charset of their own") {
  CHECK_EQ(multipart(field(R"(name="a;\"b\"")", "1")), R"({"POST":[["a;"b"","1"]],"FILES":[]})");
  CHECK_EQ(multipart(field("name*=UTF-8''%C3%A9", "1")),
           "{\"POST\":[[\"\u00e9\",\"1\"]],\"FILES\":[]}");
  CHECK_EQ(multipart(field("name*=iso-8859-1'en'%e9", "1")),
           "{\"POST\":[[\"\u00e9\",\"1\"]],\"FILES\":[]}");
  CHECK_EQ(multipart(field("name*=koi8-r''%e9", "1")), "malformed form");
  CHECK_EQ(multipart(field("name=\"\xff\"", "\xff")),
           "{\"POST\":[[\"\ufffd\",\"\ufffd\"]],\"FILES\":[]}");
}

TEST_CASE("a part without a disposition, or without a name, is skipped") {
  CHECK_EQ(multipart(part("X: y", "1") + field("x=y", "2") + field("name=a", "3")),
           R"({"POST":[["a","3"]],"FILES":[]})");
  CHECK_EQ(multipart("--b\r\n\r\nno headers\r\n" + field("name=a", "3")),
           R"({"POST":[["a","3"]],"FILES":[]})");
}

TEST_CASE("headers of a part that end past 1024 bytes are not seen") {
  const std::string disposition = "Content-Disposition: form-data; name=a\r\nX: ";
  const size_t around = 2 + disposition.size() + 4;  // the line ends before and after
  const auto with = [&](size_t size) {
    return multipart(part(disposition + std::string(size - around, 'x'), "1"));
  };
  CHECK_EQ(with(limits::kPartHeaderBytes), R"({"POST":[["a","1"]],"FILES":[]})");
  CHECK_EQ(with(limits::kPartHeaderBytes + 1), R"({"POST":[],"FILES":[]})");
}

TEST_CASE("base64 is decoded; broken in a field it stays, broken in a file it refuses the form") {
  const std::string coded = "\r\nContent-Transfer-Encoding: BASE64";
  CHECK_EQ(multipart(field("name=a" + coded, "aGk=")), R"({"POST":[["a","hi"]],"FILES":[]})");
  CHECK_EQ(multipart(field("name=a" + coded, "aGk")), R"({"POST":[["a","aGk"]],"FILES":[]})");
  CHECK_NE(multipart(field("name=a; filename=f" + coded, "a\r\nGk=")).find("<hi>"),
           std::string::npos);
  CHECK_EQ(multipart(field("name=a; filename=f" + coded, "aGk")), "malformed form");
}

TEST_CASE("a body cut short keeps what was complete, and the beginning of a field") {
  const std::string whole = field("name=a", "1") + field("name=f; filename=x", "file");
  CHECK_EQ(parsed(kMultipartType, whole), R"({"POST":[["a","1"]],"FILES":[]})");
  CHECK_EQ(parsed(kMultipartType, field("name=a", "1").substr(0, 50)), R"({"POST":[["a","1)"
                                                                       "\r\n\"]],\"FILES\":[]}");
  CHECK_EQ(parsed(kMultipartType, ""), R"({"POST":[],"FILES":[]})");
}

TEST_CASE("a boundary has 1 to 201 printable characters and does not end in a space") {
  const auto with = [](const std::string& boundary) {
    return parsed("multipart/form-data; boundary=\"" + boundary + "\"", "");
  };
  CHECK_EQ(with(std::string(201, 'x')), R"({"POST":[],"FILES":[]})");
  CHECK_EQ(with(std::string(202, 'x')), "malformed form");
  CHECK_EQ(with(""), "malformed form");
  CHECK_EQ(with("x "), "malformed form");
  CHECK_EQ(with("x\x7f"), "malformed form");
  CHECK_EQ(with("x\xc3\xa9"), "malformed form");
  CHECK_EQ(parsed("multipart/form-data", ""), "malformed form");
}

TEST_CASE("1000 fields and 100 files are taken, one more is refused") {
  const auto many = [](const std::string& one, size_t count) {
    std::string form;
    for (size_t i = 0; i < count; ++i) form += one;
    return multipart(form);
  };
  CHECK_NE(many(field("name=a", "1"), 1000), "too many form fields");
  CHECK_EQ(many(field("name=a", "1"), 1001), "too many form fields");
  CHECK_NE(many(field("name=a; filename=f", "1"), 100), "too many form fields");
  CHECK_EQ(many(field("name=a; filename=f", "1"), 101), "too many form fields");
}

TEST_CASE("fields of a multipart form have 2.5 MiB together, and files do not count") {
  const std::string large(limits::kFormFieldsBytes - 3, 'x');
  CHECK_NE(multipart(field("name=a", large)), "form too large");
  CHECK_EQ(multipart(field("name=a", large + "x")), "form too large");
  CHECK_NE(multipart(field("name=a; filename=f", large + "xxxx")), "form too large");
}

TEST_CASE("a file name loses its folders, its references and its tail") {
  CHECK_EQ(sanitize_file_name("C:\\a\\b/c.txt"), "c.txt");
  CHECK_EQ(sanitize_file_name("a&#47;b&amp;c"), "b&c");
  CHECK_EQ(sanitize_file_name(".."), "");
  CHECK_EQ(sanitize_file_name("a/"), "");
  CHECK_EQ(sanitize_file_name("..&sol;&period;"), "");
  CHECK_EQ(sanitize_file_name(std::string(300, 'n') + ".jpg"), std::string(251, 'n') + ".jpg");
}

TEST_CASE("character references are replaced as HTML 5 has them") {
  CHECK_EQ(unescape_html("&ltx&#131071;"), "<x");
  CHECK_EQ(unescape_html("&lt;&eacute&notit;&bogus;&"), "<\u00e9\u00acit;&bogus;&");
  CHECK_EQ(unescape_html("&#65;&#x42&#0;&#128;&#xD800;&#1;&#99999999999;"),
           "AB\ufffd\u20ac\ufffd\ufffd");
  CHECK_EQ(unescape_html("&#;&#x;&# &;"), "&#;&#x;&# &;");
}

}  // namespace
}  // namespace sluice
