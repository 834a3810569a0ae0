// tests/fuzz/proxies_fuzz.cc -- any bytes as a PROXY header, and as what a proxy forwards, against what
// proxy_header.h and forwarded.h promise.
//
// P1: a header says the same however it was cut and whatever stands behind it, and takes no more than
// there is. F1: what stands to the left of an address that is no proxy's changes nothing. With libFuzzer
// this file is the target; with replay.cc it runs a corpus once.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "protocol/limits.h"
#include "worker/forwarded.h"
#include "worker/proxy_header.h"

namespace {

using namespace sluice;
using Progress = ProxyHeader::Progress;

void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", promise);
  std::abort();
}

bool same(const ProxyHeader& a, const ProxyHeader& b) {
  return a.progress == b.progress && a.reason == b.reason && a.size == b.size &&
         a.client_kind == b.client_kind && a.client == b.client && a.server == b.server &&
         a.over_tls == b.over_tls;
}

void try_header(std::string_view bytes) {
  const ProxyHeader whole = read_proxy_header(as_bytes(bytes));
  require(whole.progress != Progress::kMore || bytes.size() < limits::kProxyHeaderBytes,
          "no bound");
  require(whole.size <= bytes.size(), "more than there is");
  for (size_t size = 0; size < std::min(bytes.size(), limits::kProxyHeaderBytes); ++size) {
    const ProxyHeader part = read_proxy_header(as_bytes(bytes.substr(0, size)));
    if (part.progress == Progress::kMore) continue;
    require(same(part, whole), "P1 does not hold");
    return;
  }
}

bool same(const Forwarded& a, const Forwarded& b) {
  return a.client == b.client && a.scheme == b.scheme && a.host == b.host &&
         a.server_port == b.server_port;
}

void try_forwarded(std::string_view value) {
  static const Networks trusted = [] {
    Networks all;
    all.add("10.0.0.0/8");
    return all;
  }();
  const auto read = [](std::string_view name, std::string_view first, std::string_view second) {
    const HeaderField headers[] = {{name, first}, {name, second}};
    return read_forwarded(second.empty() ? std::span(headers).first(1) : std::span(headers),
                          trusted);
  };
  for (const std::string_view name : {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
                                      "X-Forwarded-Port", "Forwarded"}) {
    static_cast<void>(read(name, value, {}));
  }
  const struct {
    std::string_view name, last;
  } ends[] = {{"X-Forwarded-For", "192.0.2.7"},
              {"X-Forwarded-For", "192.0.2.7, 10.0.0.1"},
              {"Forwarded", "for=192.0.2.7;proto=https;host=a"},
              {"Forwarded", "for=\"[2001:db8::7]:80\", for=10.0.0.1;host=\"b:1\""}};
  for (const auto& end : ends) {
    const Forwarded alone = read(end.name, end.last, {});
    const std::string line = std::string(value) + ", " + std::string(end.last);
    require(alone.client.address.known(), "no client");
    require(same(read(end.name, value, end.last), alone), "F1 does not hold between lines");
    require(same(read(end.name, line, {}), alone), "F1 does not hold in a line");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  try_header(text);
  // A head's scan lets no control character but HTAB into a value.
  if (std::none_of(text.begin(), text.end(),
                   [](unsigned char c) { return c < ' ' && c != '\t'; })) {
    try_forwarded(text);
  }
  return 0;
}
