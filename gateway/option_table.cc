// gateway/option_table.cc -- see option_table.h.
#include "gateway/option_table.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "protocol/channel_name.h"
#include "protocol/codec.h"
#include "protocol/limits.h"
#include "worker/header_field.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using Values = std::span<const std::string>;

[[noreturn]] void must_be(const std::string& what) {
  throw std::invalid_argument("must be " + what);
}

// As a TOML basic string.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

// As a TOML array of what is written already.
std::string show_list(const std::vector<std::string>& values) {
  std::string out = "[";
  for (const std::string& value : values) {
    if (out.size() > 1) out += ", ";
    out += value;
  }
  return out + "]";
}

// `what` names the part of a value that the number is.
uint64_t whole_number(std::string_view text, uint64_t least, uint64_t most,
                      std::string_view what = "") {
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end || value < least || value > most) {
    must_be(fmt::format("{}a whole number from {} to {}", what, least, most));
  }
  return value;
}

std::string show_size(uint64_t bytes) {
  constexpr std::array<std::pair<uint64_t, char>, 3> kUnits = {
      {{uint64_t{1} << 30, 'G'}, {uint64_t{1} << 20, 'M'}, {uint64_t{1} << 10, 'K'}}};
  for (const auto& [unit, letter] : kUnits) {
    if (bytes > 0 && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, letter);
  }
  return std::to_string(bytes);
}

uint64_t size_in(std::string_view text, uint64_t least, uint64_t most) {
  const auto refuse = [&] {
    must_be(fmt::format("a size from {} to {}, in bytes or with K, M or G", show_size(least),
                        show_size(most)));
  };
  int shift = 0;
  if (!text.empty()) {
    const char last = text.back();
    if (last == 'K' || last == 'k') shift = 10;
    if (last == 'M' || last == 'm') shift = 20;
    if (last == 'G' || last == 'g') shift = 30;
    if (shift != 0) text.remove_suffix(1);
  }
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end || value > most >> shift) refuse();
  value <<= shift;
  if (value < least) refuse();
  return value;
}

milliseconds seconds_in(std::string_view text, milliseconds least, milliseconds most,
                        std::string_view what = "") {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  const double least_s = std::chrono::duration<double>(least).count();
  const double most_s = std::chrono::duration<double>(most).count();
  if (parsed.ec != std::errc{} || parsed.ptr != end || !(value >= least_s && value <= most_s)) {
    must_be(fmt::format("{}seconds from {} to {}", what, least_s, most_s));
  }
  return milliseconds(std::llround(value * 1000));
}

OptionKey count_key(const char* name, uint32_t Options::*member, uint64_t least, uint64_t most,
                    const char* help) {
  return {name, "N", help,
          [=](Options& o, Values v) {
            o.*member = static_cast<uint32_t>(whole_number(v[0], least, most));
          },
          [=](const Options& o) { return std::to_string(o.*member); }};
}

OptionKey seconds_key(const char* name, milliseconds WorkerSettings::*member, const char* help) {
  return {name, "SECONDS", help,
          [=](Options& o, Values v) {
            o.worker.*member =
                seconds_in(v[0], limits::kOptionSecondsLeast, limits::kOptionSecondsMost);
          },
          [=](const Options& o) {
            return fmt::format("{}", std::chrono::duration<double>(o.worker.*member).count());
          }};
}

template <class Size>
OptionKey size_key(const char* name, Size WorkerSettings::*member, uint64_t least, uint64_t most,
                   const char* help) {
  return {name, "SIZE", help,
          [=](Options& o, Values v) { o.worker.*member = size_in(v[0], least, most); },
          [=](const Options& o) { return quoted(show_size(o.worker.*member)); }};
}

template <class Value>
struct Choice {
  const char* word;
  Value value;
};

template <class Value>
OptionKey choice_key(const char* name, Value WorkerSettings::*member,
                     std::vector<Choice<Value>> choices, const char* help) {
  std::vector<std::string> words;
  for (const Choice<Value>& choice : choices) words.emplace_back(choice.word);
  const auto set = [=](Options& o, Values v) {
    const auto chosen = std::ranges::find(choices, v[0], &Choice<Value>::word);
    if (chosen == choices.end()) must_be(fmt::format("{}", fmt::join(words, " or ")));
    o.worker.*member = chosen->value;
  };
  const auto show = [=](const Options& o) {
    return quoted(std::ranges::find(choices, o.worker.*member, &Choice<Value>::value)->word);
  };
  return {name, fmt::format("{}", fmt::join(words, "|")), help, set, show};
}

OptionKey listen_key() {
  return {"listen",
          "ADDRESS",
          "where to accept clients: host:port, [v6]:port, unix:/path or fd:N; may be repeated",
          [](Options& o, Values values) {
            o.listen.clear();
            for (const std::string& value : values) o.listen.push_back(parse_listen_address(value));
          },
          [](const Options& o) {
            std::vector<std::string> all;
            for (const ListenAddress& address : o.listen) all.push_back(quoted(to_string(address)));
            if (all.empty()) all.push_back(quoted(kDefaultListen));
            return show_list(all);
          },
          true};
}

OptionKey control_key() {
  return {"control", "PATH", "the socket consumers attach on",
          [](Options& o, Values v) {
            if (!v[0].starts_with('/')) must_be("an absolute path");
            // ".lock" is appended for the lock file; the socket's own name is what is bounded.
            if (v[0].size() >= sizeof(sockaddr_un::sun_path)) must_be("shorter than 108 bytes");
            o.control = v[0];
          },
          [](const Options& o) { return quoted(o.control); }};
}

OptionKey access_log_key() {
  return {"access-log", "off|-|PATH",
          "where a line for each exchange goes: a file (opened anew on SIGUSR1), - for standard output",
          [](Options& o, Values v) {
            if (v[0].empty() || v[0].find('\0') != std::string::npos) must_be("off, - or a path");
            o.access_log = v[0];
          },
          [](const Options& o) { return quoted(o.access_log); }};
}

OptionKey max_connections_key() {
  return {"max-connections", "N",
          "open client connections per worker; rounded up to a multiple of 64",
          [](Options& o, Values v) {
            const uint64_t asked = whole_number(v[0], 1, shm::kMaxConnections);
            o.worker.max_connections = static_cast<uint32_t>((asked + 63) / 64 * 64);
          },
          [](const Options& o) { return std::to_string(o.worker.max_connections); }};
}

OptionKey unbounded_key(const char* name, uint32_t WorkerSettings::*member, uint64_t most,
                        const char* help) {
  return {name, "N", help,
          [=](Options& o, Values v) {
            o.worker.*member = static_cast<uint32_t>(whole_number(v[0], 0, most));
          },
          [=](const Options& o) { return std::to_string(o.worker.*member); }};
}

OptionKey max_headers_key() {
  return {"max-headers", "N", "header lines of a request; beyond: 431",
          [](Options& o, Values v) {
            o.worker.max_headers = whole_number(v[0], 1, limits::kOptionHeadersMost);
          },
          [](const Options& o) { return std::to_string(o.worker.max_headers); }};
}

OptionKey root_path_key() {
  return {"root-path", "PATH", "the prefix the application is mounted at (SCRIPT_NAME)",
          [](Options& o, Values v) {
            const bool plain = v[0].find_first_of("?#\r\n") == std::string::npos &&
                               v[0].find('\0') == std::string::npos;
            if ((!v[0].empty() && v[0][0] != '/') || !plain || !valid_utf8(v[0])) {
              must_be("empty or a path that begins with /");
            }
            o.worker.root_path = v[0];
          },
          [](const Options& o) { return quoted(o.worker.root_path); }};
}

// Each value may hold several, divided by commas.
OptionKey allowed_origins_key() {
  return {"allowed-origins", "LIST",
          "whose pages may open a WebSocket, others: 403: any, or same (the host asked for), null, "
          "https://example.org, https://*.example.org, divided by commas; may be repeated; a handshake "
          "without Origin is no page's and accepted",
          [](Options& o, Values values) {
            Origins origins;
            for (const std::string& value : values) {
              for (const std::string& text : split_list(value)) origins.add(trim_blanks(text));
            }
            if (origins.texts().size() > limits::kAllowedOrigins) {
              must_be(fmt::format("at most {} origins", limits::kAllowedOrigins));
            }
            o.worker.allowed_origins = std::move(origins);
          },
          [](const Options& o) {
            std::vector<std::string> all;
            for (const std::string& text : o.worker.allowed_origins.texts()) all.push_back(quoted(text));
            return show_list(all);
          },
          true};
}

// Each value may hold several, divided by commas; an empty one alone means none.
OptionKey networks_key(const char* name, Networks WorkerSettings::*member, const char* help) {
  return {name, "LIST", help,
          [=](Options& o, Values values) {
            Networks networks;
            for (const std::string& value : values) {
              if (value.empty() && values.size() == 1) break;
              for (const std::string& text : split_list(value)) {
                networks.add(trim_blanks(text));
                if (networks.texts().size() > limits::kProxyNetworks) {
                  must_be(fmt::format("at most {} networks", limits::kProxyNetworks));
                }
              }
            }
            o.worker.*member = std::move(networks);
          },
          [=](const Options& o) {
            std::vector<std::string> all;
            for (const std::string& text : (o.worker.*member).texts()) all.push_back(quoted(text));
            return show_list(all);
          },
          true};
}

OptionKey server_header_key() {
  return {"server-header", "TEXT",
          "the Server header of answers whose consumer gives none; empty: none is sent",
          [](Options& o, Values v) {
            const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
            const bool blank_ends = v[0].starts_with(' ') || v[0].ends_with(' ');
            if (v[0].size() > limits::kServerHeaderBytes || blank_ends ||
                !std::all_of(v[0].begin(), v[0].end(), printable)) {
              must_be(fmt::format("printable ASCII without blanks at its ends, at most {} bytes",
                                  limits::kServerHeaderBytes));
            }
            o.worker.server_header = v[0];
          },
          [](const Options& o) { return quoted(o.worker.server_header); }};
}

// GLOB [capacity=N] [expiry=SECONDS]
ChannelOption channel_option(std::string_view text) {
  ChannelOption option;
  const auto next_word = [&text] {
    const size_t start = std::min(text.find_first_not_of(' '), text.size());
    const size_t end = std::min(text.find(' ', start), text.size());
    const std::string_view word = text.substr(start, end - start);
    text.remove_prefix(end);
    return word;
  };
  option.glob = next_word();
  if (!valid_channel_glob(option.glob)) must_be("a channel name or glob, then capacity=N, expiry=SECONDS");
  for (std::string_view word = next_word(); !word.empty(); word = next_word()) {
    const std::string_view key = word.substr(0, word.find('='));
    const std::string_view value = word.substr(std::min(key.size() + 1, word.size()));
    if (key == "capacity" && option.limits.capacity == 0) {
      option.limits.capacity =
          static_cast<uint32_t>(whole_number(value, 1, limits::kChannelCapacityMost, "capacity="));
    } else if (key == "expiry" && option.limits.expiry.count() == 0) {
      option.limits.expiry =
          seconds_in(value, limits::kExpiryLeast, limits::kExpiryMost, "expiry=");
    } else {
      must_be("a channel name or glob, then capacity=N, expiry=SECONDS, each at most once");
    }
  }
  if (option.limits == shm::ChannelLimits{}) must_be("followed by capacity=N, expiry=SECONDS or both");
  return option;
}

std::string show_channel(const ChannelOption& option) {
  std::string text = option.glob;
  if (option.limits.capacity != 0) text += fmt::format(" capacity={}", option.limits.capacity);
  if (option.limits.expiry.count() != 0) {
    text += fmt::format(" expiry={}",
                        std::chrono::duration<double>(option.limits.expiry).count());
  }
  return quoted(text);
}

OptionKey channel_key() {
  return {"channel",
          "'GLOB capacity=N expiry=SECONDS'",
          "messages held and how long, for channels of that name or glob; may be repeated, the "
          "first that matches counts",
          [](Options& o, Values values) {
            if (values.size() > shm::kChannelRules) {
              must_be(fmt::format("given at most {} times", shm::kChannelRules));
            }
            o.channels.clear();
            for (const std::string& value : values) o.channels.push_back(channel_option(value));
          },
          [](const Options& o) {
            std::vector<std::string> all;
            for (const ChannelOption& option : o.channels) all.push_back(show_channel(option));
            return show_list(all);
          },
          true};
}

OptionKey drop_share_key() {
  return {"drop-share", "SHARE",
          "for tests: the share, from 0 to 1, of requests and of consumers' messages on channels that is lost",
          [](Options& o, Values v) {
            const char* const end = v[0].data() + v[0].size();
            const auto parsed =
                std::from_chars(v[0].data(), end, o.drop_share, std::chars_format::fixed);
            if (parsed.ec != std::errc{} || parsed.ptr != end ||
                !(o.drop_share >= 0 && o.drop_share <= 1)) {
              must_be("a number from 0 to 1");
            }
          },
          [](const Options& o) { return fmt::format("{}", o.drop_share); }};
}

std::vector<OptionKey> make_table() {
  using W = WorkerSettings;
  using limits::kMiB;
  std::vector<OptionKey> table;
  table.push_back(listen_key());
  table.push_back(count_key("workers", &Options::workers, 1, limits::kWorkersMost,
                            "protocol workers; default: the CPUs we may use"));
  table.push_back(count_key("demo", &Options::demo, 0, limits::kDemoConsumersMost,
                            "demo consumers to start as children"));
  table.push_back(control_key());
  table.push_back(max_connections_key());
  table.push_back(unbounded_key("max-connections-per-address", &W::max_connections_per_address,
                                shm::kMaxConnections,
                                "of those, from one client address (IPv6: one /64); beyond: 503; "
                                "0: no bound of their own"));
  table.push_back(unbounded_key("max-requests-per-connection", &W::max_requests_per_connection,
                                UINT32_MAX,
                                "the connection is closed after so many; 0: never for that"));
  table.push_back(count_key("max-consumers", &Options::max_consumers, 1, limits::kConsumersMost,
                            "consumers attached at once; beyond: refused"));
  table.push_back(channel_key());
  table.push_back(seconds_key("header-timeout", &W::header_timeout,
                              "from a head's first byte to its last; beyond: 408"));
  table.push_back(
      seconds_key("body-timeout", &W::body_timeout, "between two reads of a body; beyond: 408"));
  table.push_back(seconds_key("send-timeout", &W::send_timeout,
                              "for a client to take anything of what waits for it; beyond: cut"));
  table.push_back(seconds_key("keepalive-timeout", &W::keepalive_timeout,
                              "between two requests; beyond: closed"));
  table.push_back(
      seconds_key("answer-timeout", &W::answer_timeout, "for a consumer's answer; beyond: 504"));
  table.push_back(
      seconds_key("hold-timeout", &W::hold_timeout, "for a consumer to appear; beyond: 503"));
  table.push_back(
      seconds_key("drain-timeout", &W::drain_timeout,
                  "for what is open when the gateway or a worker is to end; beyond: cut"));
  table.push_back(
      seconds_key("receive-timeout", &W::receive_timeout,
                  "for a consumer to take a WebSocket's message; beyond: closed with 1013"));
  table.push_back(
      seconds_key("stuck-timeout", &W::stuck_timeout,
                  "for a consumer to take anything of what waits for it; beyond: no new work"));
  table.push_back(
      seconds_key("ping-interval", &W::ping_interval, "a WebSocket silent this long is pinged"));
  table.push_back(seconds_key("ping-timeout", &W::ping_timeout,
                              "for anything to arrive after a ping; beyond: cut"));
  table.push_back(seconds_key("group-expiry", &W::group_expiry,
                              "how long a member of a group stays one, unless it is added again"));
  table.push_back(
      size_key("max-head", &W::max_head_bytes, 256, kMiB, "a request's whole head; beyond: 431"));
  table.push_back(size_key("max-line", &W::max_line_bytes, 64, kMiB,
                           "one line of a head; beyond: 414 for the first, else 431"));
  table.push_back(max_headers_key());
  table.push_back(size_key("max-body", &W::max_body_bytes, 0, limits::kOptionBodyMost,
                           "a request's body; beyond: 413"));
  table.push_back(size_key("max-message", &W::max_message_bytes, 1, limits::kMessageBytes,
                           "a WebSocket message; beyond: closed with 1009"));
  table.push_back(root_path_key());
  table.push_back(networks_key(
      "trusted-proxies", &W::trusted_proxies,
      "whose X-Forwarded-For, -Proto, -Host, -Port and Forwarded are believed: addresses, networks "
      "(192.0.2.0/24) or unix, divided by commas; may be repeated"));
  table.push_back(networks_key(
      "proxy-protocol", &W::proxy_protocol,
      "who has to begin a connection with a PROXY header, version 1 or 2; a list as above"));
  table.push_back(server_header_key());
  table.push_back(choice_key<bool>("forms", &W::raw_forms, {{"parsed", false}, {"raw", true}},
                                   "whether POST and FILES are filled from a form's body"));
  table.push_back(choice_key<bool>("accept", &W::accept_by_consumer,
                                   {{"gateway", false}, {"consumer", true}},
                                   "who accepts a WebSocket"));
  table.push_back(allowed_origins_key());
  table.push_back(choice_key<DeflateMode>(
      "deflate", &W::deflate,
      {{"off", DeflateMode::kOff}, {"shared", DeflateMode::kShared}, {"own", DeflateMode::kOwn}},
      "permessage-deflate for WebSockets that offer it: shared (also: --deflate alone) keeps no context from "
      "message to message, own keeps some 300 KiB for each WebSocket"));
  table.back().implied = "shared";
  table.push_back(access_log_key());
  table.push_back(choice_key<bool>("access-log-format", &W::access_log_json,
                                   {{"combined", false}, {"json", true}},
                                   "its lines: as nginx and Apache write them, or a JSON object each"));
  table.push_back(drop_share_key());
  table.push_back(count_key("drop-seed", &Options::drop_seed, 0, UINT32_MAX,
                            "which of them: the same again for the same number"));
  return table;
}

}  // namespace

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> pieces;
  for (;;) {
    const size_t comma = text.find(',');
    pieces.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return pieces;
    text.remove_prefix(comma + 1);
  }
}

const std::vector<OptionKey>& option_table() {
  static const std::vector<OptionKey> table = make_table();
  return table;
}

}  // namespace sluice
