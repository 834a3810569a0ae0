// tests/fuzz/websocket_session_fuzz.cc -- any bytes, cut in any way, against what
// websocket_session.h promises.
//
// The first byte chooses limits, the second after how many messages the server closes; the rest is
// what the client sends. The echo server watches W1 and W2 and says "broken: ..." where they do not
// hold; W3 is talk(), which compares what it said to the bytes whole, cut and with pauses. W4 is
// that nothing is held once the client has nothing unfinished. With libFuzzer this file is the
// target; with replay.cc it runs a corpus once.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/unit/worker/websocket_client.h"

namespace {

void require(bool holds, const char* promise, const std::string& said) {
  if (holds) return;
  std::fprintf(stderr, "%s\n%s", promise, said.c_str());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace sluice;
  if (size < 2) return 0;
  static constexpr WebSocketLimits kTight = {
      .message_bytes = 16, .fragments = 3, .control_backlog = 32};
  const WebSocketLimits& limits = (bytes[0] & 1) != 0 ? kTight : test::kRoomy;
  const size_t close_after = bytes[1];
  const std::string_view sent(reinterpret_cast<const char*>(bytes) + 2, size - 2);

  const std::string said = test::talk(sent, limits, close_after);
  require(!said.starts_with("broken: "), "a promise does not hold", said);

  test::EchoServer server(limits);
  server.feed(sent);
  require(!server.session.closed() || server.session.buffered() == 0, "W4 does not hold", said);
  return 0;
}
