// tests/unit/worker/meta_test.cc -- heads as META, path and path_info have them.
#include "worker/meta.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/show.h"

namespace sluice {
namespace {

// META of a head with these fields, without the ten keys that are always there.
std::string meta_of(std::span<const HeaderField> headers) {
  MetaSource source;
  source.headers = headers;
  const std::string all = test::shown([&](Encoder& encoder) { encode_meta(source, encoder); });
  const std::string_view last = R"("REMOTE_PORT":"")";
  return all.substr(all.find(last) + last.size());
}

TEST_CASE("META always has ten keys, and says the remote host by its address") {
  const MetaSource source{.method = "GET",
                          .script_name = "/app",
                          .path_info = "/\xc3\xa9",
                          .query_string = "a=\xe9",
                          .server_name = "example.org",
                          .server_port = "8000",
                          .protocol = "HTTP/1.1",
                          .remote_addr = "192.0.2.7",
                          .remote_port = "50123",
                          .headers = {}};

  CHECK_EQ(test::shown([&](Encoder& encoder) { encode_meta(source, encoder); }),
           "{\"REQUEST_METHOD\":\"GET\",\"SCRIPT_NAME\":\"/app\",\"PATH_INFO\":\"/\u00e9\","
           "\"QUERY_STRING\":\"a=\u00e9\",\"SERVER_NAME\":\"example.org\",\"SERVER_PORT\":\"8000\","
           "\"SERVER_PROTOCOL\":\"HTTP/1.1\",\"REMOTE_ADDR\":\"192.0.2.7\","
           "\"REMOTE_HOST\":\"192.0.2.7\",\"REMOTE_PORT\":\"50123\"}");
}

TEST_CASE("fields become HTTP_ and their name, but for content type and length") {
  const HeaderField headers[] = {{"Host", "h"},
                                 {"content-TYPE", "t"},
                                 {"X-Some-Thing2", "x"},
                                 {"Content-Length", "3"},
                                 {"Content-Language", "de"}};

  CHECK_EQ(meta_of(headers), R"(,"HTTP_HOST":"h","CONTENT_TYPE":"t","HTTP_X_SOME_THING2":"x",)"
                             R"("CONTENT_LENGTH":"3","HTTP_CONTENT_LANGUAGE":"de"})");
}

TEST_CASE("a name with _ cannot take the place of one with -, and Proxy is nobody's") {
  const HeaderField headers[] = {
      {"X_Forwarded-For", "evil"}, {"Content_Type", "evil"}, {"PROXY", "evil"}, {"", "evil"}};

  CHECK_EQ(meta_of(headers), "}");
}

TEST_CASE("fields of one name are joined in their order, cookies by a semicolon") {
  const HeaderField headers[] = {{"Accept", "a"},   {"Cookie", "b=1"}, {"ACCEPT", "c"},
                                 {"cookie", "d=2"}, {"Host", "h"},     {"accept", "\xe9"}};

  CHECK_EQ(meta_of(headers),
           ",\"HTTP_ACCEPT\":\"a,c,\u00e9\",\"HTTP_COOKIE\":\"b=1; d=2\",\"HTTP_HOST\":\"h\"}");
}

TEST_CASE("as many fields as a head may have are joined, whatever their names") {
  std::vector<std::string> names;
  for (int i = 0; i < 500; ++i) names.push_back("X-" + std::to_string(i));
  std::vector<HeaderField> headers;
  for (int round = 0; round < 2; ++round) {
    for (const std::string& name : names) headers.push_back({name, round == 0 ? "1" : "2"});
  }
  std::string expected;
  for (int i = 0; i < 500; ++i) expected += ",\"HTTP_X_" + std::to_string(i) + "\":\"1,2\"";

  CHECK_EQ(meta_of(headers), expected + "}");
}

TEST_CASE("values are read as ISO 8859-1") {
  const HeaderField headers[] = {{"X", "\xc3\xa9 \xff"}};

  CHECK_EQ(meta_of(headers), ",\"HTTP_X\":\"\u00c3\u00a9 \u00ff\"}");
}

std::string decoded(std::string_view raw_path) {
  std::string scratch;
  return std::string(decode_path(raw_path, scratch));
}

TEST_CASE("a path is decoded once; what is no UTF-8 is escaped again") {
  CHECK_EQ(decoded("/a/%62%2Fc+d"), "/a/b/c+d");
  CHECK_EQ(decoded("/%25zz%2541%zz%4"), "/%zz%41%zz%4");
  CHECK_EQ(decoded("/%C3%A9\xc3\xa9"), "/\u00e9\u00e9");
  CHECK_EQ(decoded("/%c3%28\xff%ed%a0%80%e2%82"), "/%C3(%FF%ED%A0%80%E2%82");
}

TEST_CASE("a path with nothing to decode is not copied") {
  const std::string_view raw = "/plain/path";
  std::string scratch;

  CHECK_EQ(decode_path(raw, scratch).data(), raw.data());
}

std::string path_of(std::string_view script_name, std::string_view path_info) {
  return test::shown([&](Encoder& encoder) { encode_path(script_name, path_info, encoder); });
}

TEST_CASE("path is the root path, one slash and path_info without its first") {
  CHECK_EQ(path_of("", "/x"), "\"/x\"");
  CHECK_EQ(path_of("", "//x"), "\"//x\"");
  CHECK_EQ(path_of("/app", "/x"), "\"/app/x\"");
  CHECK_EQ(path_of("/app//", "//x"), "\"/app//x\"");
  CHECK_EQ(path_of("/app", "/"), "\"/app/\"");
  CHECK_EQ(path_of("", "*"), "\"/*\"");
}

TEST_CASE("path_info is what lies below the root path, by whole segments") {
  CHECK_EQ(path_info_of("/app/x", "/app"), "/x");
  CHECK_EQ(path_info_of("/app", "/app"), "/");
  CHECK_EQ(path_info_of("/apple", "/app"), "/apple");
  CHECK_EQ(path_info_of("/other", "/app"), "/other");
  CHECK_EQ(path_info_of("/x", ""), "/x");
  CHECK_EQ(path_info_of("", ""), "/");
}

TEST_CASE("headers keep order, duplicates and values, with names in lower case") {
  const HeaderField headers[] = {{"X-A_b", "\xff"}, {"x-a_B", ""}};

  CHECK_EQ(test::shown([&](Encoder& encoder) { encode_headers(headers, encoder); }),
           "[[<x-a_b>,<\xff>],[<x-a_b>,<>]]");
}

}  // namespace
}  // namespace sluice
