// tests/unit/worker/deflate_terms_test.cc -- what is offered, what is agreed (RFC 7692 section 7.1).
#include "worker/deflate_terms.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <vector>

namespace sluice {
namespace {

// The answer's line without its name, "none" or "invalid".
std::string agreed(std::initializer_list<std::string_view> lines, DeflateMode mode = DeflateMode::kShared) {
  std::vector<HeaderField> fields = {{"Host", "a"}};
  for (const std::string_view line : lines) fields.push_back({"Sec-WebSocket-Extensions", line});
  RequestHead head;
  head.headers = fields;
  const DeflateVerdict verdict = choose_deflate(head, mode);
  if (!verdict.valid) return "invalid";
  if (!verdict.terms) return "none";
  std::string out;
  append_deflate_line(*verdict.terms, out);
  const size_t name = std::string_view("Sec-WebSocket-Extensions: ").size();
  return out.substr(name, out.size() - name - 2);
}
std::string agreed(std::string_view line, DeflateMode mode = DeflateMode::kShared) {
  return agreed({line}, mode);
}

constexpr const char* kBare = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

TEST_CASE("shared contexts: neither side keeps one, whatever is offered") {
  CHECK(agreed("permessage-deflate") == kBare);
  CHECK(agreed("permessage-deflate; client_max_window_bits") == kBare);  // Chromium
  CHECK(agreed("permessage-deflate; client_max_window_bits=8") == kBare);
  CHECK(agreed("permessage-deflate;server_no_context_takeover;client_no_context_takeover") == kBare);
  CHECK(agreed("Permessage-Deflate ; Server_No_Context_Takeover") == kBare);
}

TEST_CASE("own contexts: the client's wish rules") {
  CHECK(agreed("permessage-deflate", DeflateMode::kOwn) == "permessage-deflate");
  CHECK(agreed("permessage-deflate; client_no_context_takeover", DeflateMode::kOwn) ==
        "permessage-deflate; client_no_context_takeover");
  CHECK(agreed("permessage-deflate; server_no_context_takeover; client_max_window_bits", DeflateMode::kOwn) ==
        "permessage-deflate; server_no_context_takeover");
}

TEST_CASE("the window asked for is kept and told; one too small for zlib is passed over") {
  CHECK(agreed("permessage-deflate; server_max_window_bits=9") == std::string(kBare) + "; server_max_window_bits=9");
  CHECK(agreed("permessage-deflate; server_max_window_bits=\"12\"") ==
        std::string(kBare) + "; server_max_window_bits=12");
  CHECK(agreed("permessage-deflate; server_max_window_bits=15") ==
        std::string(kBare) + "; server_max_window_bits=15");
  CHECK(agreed("permessage-deflate; server_max_window_bits=8") == "none");
}

TEST_CASE("an offer with what cannot be is passed over, the next one is looked at") {
  for (const std::string_view bad :
       {"permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=1x", "permessage-deflate; server_max_window_bits=150",
        "permessage-deflate; client_max_window_bits=7", "permessage-deflate; client_max_window_bits=016",
        "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; unknown", "permessage-deflate; unknown=3",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover", "x-webkit-deflate-frame",
        "permessage-bzip2"}) {
    CAPTURE(bad);
    CHECK(agreed(bad) == "none");
    CHECK(agreed({bad, "permessage-deflate"}) == kBare);
    CHECK(agreed(std::string(bad) + ", permessage-deflate; server_max_window_bits=10") ==
          std::string(kBare) + "; server_max_window_bits=10");
  }
}

TEST_CASE("of several that can be kept the first is") {
  CHECK(agreed("permessage-deflate; server_max_window_bits=11, permessage-deflate") ==
        std::string(kBare) + "; server_max_window_bits=11");
  CHECK(agreed({"mux", ", ,permessage-deflate; server_max_window_bits=10", "permessage-deflate"}) ==
        std::string(kBare) + "; server_max_window_bits=10");
}

TEST_CASE("what is no list of extensions fails the handshake, also where nothing is compressed") {
  for (const std::string_view bad :
       {"permessage-deflate;", "permessage-deflate; ;", "; a", "permessage deflate", "a; b c", "a; b=",
        "a; b=\"", "a; b=\"c d\"", "a; b=\"\"", "a; =b", "a=b", "a/b", "permessage-deflate; a=\"b,c\""}) {
    CAPTURE(bad);
    CHECK(agreed(bad) == "invalid");
    CHECK(agreed(bad, DeflateMode::kOff) == "invalid");
    CHECK(agreed({"permessage-deflate", bad}) == "invalid");
  }
}

TEST_CASE("switched off, or not asked for, there is none") {
  CHECK(agreed("permessage-deflate", DeflateMode::kOff) == "none");
  CHECK(agreed({}) == "none");
  CHECK(agreed("") == "none");
}

}  // namespace
}  // namespace sluice
