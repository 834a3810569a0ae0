// tests/fuzz/http_session_fuzz.cc -- any bytes, cut in any way, against what http_session.h
// promises: bytes in, messages out, no socket.
//
// The first byte chooses limits and whether to switch to a WebSocket, the second how the rest is
// cut. H1 and H3 are watched by the recorder, which tells "broken: ..." where they do not hold, and
// where a message is made that may not be: a second one for a request, one after a refusal, one
// beyond a limit or that does not decode (session_messages.h). H4 is the comparison of what was said
// and made of the bytes whole and of the bytes cut; H2 is looked for in the text. With libFuzzer this file is the target; with replay.cc it runs a corpus once.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "protocol/limits.h"
#include "tests/cases/runner/http_recorder.h"

namespace {

using namespace sluice;
using namespace sluice::cases;

void require(bool holds, const char* promise, const std::string& one, const std::string& other) {
  if (holds) return;
  std::fprintf(stderr, "%s\n--- one way\n%s--- the other\n%s", promise, one.c_str(), other.c_str());
  std::abort();
}

// What no head that was told of may hold, wherever a client put it: the escapes of CR, LF and NUL
// in a line that is no body and no rest.
void require_clean(const std::string& said) {
  for (size_t at = 0; at < said.size();) {
    const size_t end = said.find('\n', at);
    const std::string_view line = std::string_view(said).substr(at, end - at);
    at = end + 1;
    if (line.starts_with("body ") || line.starts_with("rest ")) continue;
    for (size_t i = 0; i + 1 < line.size(); ++i) {
      if (line[i] != '\\') continue;
      const std::string_view escape = line.substr(i, 4);
      require(!escape.starts_with("\\r") && !escape.starts_with("\\n") && escape != "\\x00",
              "a control character in a head", said, "");
      if (line[i + 1] == '\\') ++i;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 2) return 0;
  const bool small = (bytes[0] & 1) != 0;
  const bool switching = (bytes[0] & 2) != 0;
  const size_t cut = bytes[1];
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 2, size - 2);
  const HttpLimits limits = small ? HttpLimits{120, 40, 4, 20}
                                  : HttpLimits{limits::kHeadBytes, limits::kHeaderLineBytes,
                                               limits::kHeaderFields, limits::kBodyBytes};

  const Recorded whole = record(text, limits, switching, {});
  require(("\n" + whole.events).find("\nbroken: ") == std::string::npos,
          "H1, H3 or a rule on messages does not hold", whole.events, "");
  require_clean(whole.events);
  for (const Cut& other : {Cut{.split = cut}, Cut{.step = 1}, Cut{.step = cut % 16 + 2},
                           Cut{.pausing = true}, Cut{.step = cut % 5 + 1, .pausing = true}}) {
    const Recorded said = record(text, limits, switching, other);
    require(said == whole, "H4 does not hold", whole.events, said.events);
  }
  return 0;
}
