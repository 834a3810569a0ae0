// tests/unit/gateway/options_test.cc -- where an option's value comes from, and every refusal's
// line.
#include "gateway/options.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "gateway/geometry.h"
#include "protocol/limits.h"

namespace {

using namespace sluice;
using std::chrono::milliseconds;

CommandLine read(std::vector<const char*> arguments, std::vector<const char*> environment = {}) {
  arguments.insert(arguments.begin(), "sluice");
  environment.push_back(nullptr);
  return read_command_line(static_cast<int>(arguments.size()), arguments.data(),
                           environment.data());
}

std::string refusal(const std::vector<const char*>& arguments,
                    const std::vector<const char*>& environment = {}) {
  try {
    static_cast<void>(read(arguments, environment));
  } catch (const OptionError& error) {
    return error.what();
  }
  return "";
}

// A configuration file, removed at the end.
class File {
 public:
  explicit File(const std::string& text) {
    char name[] = "/tmp/sluice-options-XXXXXX";
    ::close(::mkstemp(name));
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~File() { ::unlink(path_.c_str()); }
  [[nodiscard]] const char* path() const { return path_.c_str(); }

 private:
  std::string path_;
};

TEST_CASE("without options everything has its default") {
  const CommandLine line = read({});

  CHECK(line.asked == Asked::kRun);
  CHECK(line.options.listen.empty());
  CHECK(line.options.workers >= 1);
  CHECK(line.options.demo == 0);
  CHECK(line.options.worker.header_timeout == limits::kHeaderTimeout);
  CHECK(line.options.worker.max_body_bytes == limits::kBodyBytes);
  CHECK(line.options.control.starts_with("/"));
}

TEST_CASE("the command line comes before the environment, the environment before the file") {
  const File file("workers = 5\ndemo = 6\nmax-consumers = 7\n");

  const Options options =
      read({"--config", file.path(), "--workers", "3"}, {"SLUICE_WORKERS=4", "SLUICE_DEMO=2"})
          .options;

  CHECK(options.workers == 3);
  CHECK(options.demo == 2);
  CHECK(options.max_consumers == 7);
}

TEST_CASE("the file may be named in the environment") {
  const File file("workers = 5\n");
  const std::string variable = std::string("SLUICE_CONFIG=") + file.path();

  CHECK(read({}, {variable.c_str()}).options.workers == 5);
}

TEST_CASE("listen may be repeated, listed in the file, or divided by commas in the environment") {
  const File file("listen = [\"127.0.0.1:1\", \"unix:/tmp/a\"]\n");

  CHECK(read({"--listen", "a:1", "--listen", "[::1]:2"}).options.listen.size() == 2);
  CHECK(read({"--config", file.path()}).options.listen.size() == 2);
  CHECK(read({}, {"SLUICE_LISTEN=a:1,fd:3"}).options.listen.size() == 2);
}

TEST_CASE("proxies may be repeated, divided by commas, listed in the file, or none") {
  using Texts = std::vector<std::string>;
  const File file("trusted-proxies = [\"10.0.0.0/8, unix\", \"::1\"]\nproxy-protocol = \"192.0.2.1,unix\"\n");
  const Texts all = {"10.0.0.0/8", "unix", "::1"};

  CHECK(read({}).options.worker.trusted_proxies.empty());
  CHECK(read({}).options.worker.proxy_protocol.empty());
  CHECK(read({"--trusted-proxies", "10.0.0.0/8,unix", "--trusted-proxies", "::1"})
            .options.worker.trusted_proxies.texts() == all);
  CHECK(read({}, {"SLUICE_TRUSTED_PROXIES=10.0.0.0/8, unix,::1"}).options.worker.trusted_proxies.texts() == all);
  const Options from_file = read({"--config", file.path()}).options;
  CHECK(from_file.worker.trusted_proxies.texts() == all);
  CHECK(from_file.worker.proxy_protocol.texts() == Texts{"192.0.2.1", "unix"});
  CHECK(read({}, {"SLUICE_PROXY_PROTOCOL="}).options.worker.proxy_protocol.empty());
  CHECK(read({"--config", file.path()}, {"SLUICE_TRUSTED_PROXIES="}).options.worker.trusted_proxies.empty());

  std::string many = "10.0.0.0";
  for (size_t i = 0; i < limits::kProxyNetworks; ++i) many += ",10.0.0.0";
  CHECK(refusal({"--proxy-protocol", many.c_str()}).ends_with(" must be at most 1024 networks (from the command line)"));
}

TEST_CASE("allowed origins may be repeated, divided by commas, listed in the file; any is the default") {
  using Texts = std::vector<std::string>;
  const File file("allowed-origins = [\"same\", \"https://*.example.org, null\"]\n");
  const Texts all = {"same", "https://*.example.org", "null"};

  CHECK(read({}).options.worker.allowed_origins.any());
  CHECK(read({}).options.worker.allowed_origins.texts() == Texts{"any"});
  CHECK(read({"--allowed-origins", "any"}).options.worker.allowed_origins.any());
  CHECK(read({"--allowed-origins", "same,https://*.example.org", "--allowed-origins", "null"})
            .options.worker.allowed_origins.texts() == all);
  CHECK(read({}, {"SLUICE_ALLOWED_ORIGINS=same, https://*.example.org,null"})
            .options.worker.allowed_origins.texts() == all);
  CHECK(read({"--config", file.path()}).options.worker.allowed_origins.texts() == all);

  std::string many = "same";
  for (size_t i = 0; i < limits::kAllowedOrigins; ++i) many += ",same";
  CHECK(refusal({"--allowed-origins", many.c_str()}).ends_with(" must be at most 256 origins (from the command line)"));
  CHECK(refusal({}, {"SLUICE_ALLOWED_ORIGINS="}) ==
        "allowed-origins  must be any alone, or same, null, and origins like https://example.org or "
        "https://*.example.org:8443, not '' (from the environment)");
}

TEST_CASE("a channel's capacity and expiry may be repeated, listed in the file, or divided by commas") {
  const File file("channel = [\"jobs.* capacity=5\", \"a?b expiry=0.5 capacity=70000\"]\n");
  const File sound("channel = [\"jobs.* capacity=5\", \"a?b  expiry=0.5\"]\n");

  for (const Options& options :
       {read({"--channel", "jobs.* capacity=5", "--channel", "a?b expiry=0.5"}).options,
        read({}, {"SLUICE_CHANNEL=jobs.* capacity=5,a?b expiry=0.5"}).options,
        read({"--config", sound.path()}).options}) {
    REQUIRE(options.channels.size() == 2);
    CHECK(options.channels[0].glob == "jobs.*");
    CHECK(options.channels[0].limits == shm::ChannelLimits{5, milliseconds(0)});
    CHECK(options.channels[1].glob == "a?b");
    CHECK(options.channels[1].limits == shm::ChannelLimits{0, milliseconds(500)});
  }
  CHECK(refusal({"--config", file.path()}).find("capacity=a whole number from 1 to 65536") !=
        std::string::npos);
  CHECK(read({}).options.channels.empty());
}

TEST_CASE("more channel rules than there is room for are refused") {
  std::vector<const char*> arguments;
  for (uint32_t i = 0; i <= shm::kChannelRules; ++i) {
    arguments.insert(arguments.end(), {"--channel", "a capacity=1"});
  }

  CHECK(refusal(arguments).find("must be given at most 64 times") != std::string::npos);
}

TEST_CASE("the segment has cells for the largest capacity asked for") {
  CHECK(geometry_for(read({}).options).channel_cells == limits::kChannelCapacity);
  CHECK(geometry_for(read({"--channel", "a capacity=3"}).options).channel_cells ==
        limits::kChannelCapacity);
  const shm::Geometry large =
      geometry_for(read({"--channel", "a capacity=1", "--channel", "b capacity=5000"}).options);
  CHECK(large.channel_cells == 8192);
  CHECK(shm::valid(large));
}

TEST_CASE("what a client may take has no bound of its own unless one is asked for") {
  const WorkerSettings plain = read({}).options.worker;
  CHECK(plain.max_connections_per_address == 0);
  CHECK(plain.max_requests_per_connection == 0);
  CHECK(plain.server_header.empty());

  const WorkerSettings w = read({"--max-connections-per-address", "20", "--server-header", "edge/2"},
                                {"SLUICE_MAX_REQUESTS_PER_CONNECTION=1000"})
                               .options.worker;
  CHECK(w.max_connections_per_address == 20);
  CHECK(w.max_requests_per_connection == 1000);
  CHECK(w.server_header == "edge/2");
}

TEST_CASE("a server header that would not be one line of plain text is refused") {
  const std::string long_one(limits::kServerHeaderBytes + 1, 'a');

  for (const char* bad : {"a\r\nX: 1", "a\tb", "caf\xc3\xa9", " a", "a ", long_one.c_str()}) {
    CHECK(refusal({"--server-header", bad}).find("must be printable ASCII") != std::string::npos);
  }
  CHECK(refusal({"--server-header", ""}).empty());
}

TEST_CASE("sizes take K, M and G, seconds take fractions") {
  const WorkerSettings w = read({"--max-head", "32K", "--max-body", "2G", "--max-message", "65536",
                                 "--ping-interval", "0.25"})
                               .options.worker;

  CHECK(w.max_head_bytes == 32 * 1024);
  CHECK(w.max_body_bytes == uint64_t{2} << 30);
  CHECK(w.max_message_bytes == 65536);
  CHECK(w.ping_interval == milliseconds(250));
}

TEST_CASE("what --print-config prints reads back as the same options") {
  const CommandLine printed =
      read({"--print-config", "--listen", "[::1]:0", "--root-path", "/a\"b", "--header-timeout",
            "0.125", "--forms", "raw", "--accept", "consumer", "--access-log",
            "/var/log/a \"b\".log", "--access-log-format", "json", "--channel",
            "jobs.* capacity=5 expiry=0.25", "--channel", "x expiry=7", "--trusted-proxies",
            "10.0.0.0/8,unix", "--proxy-protocol", "2001:db8::/32", "--allowed-origins",
            "same,https://*.Example.org:8443"});
  REQUIRE(printed.asked == Asked::kText);
  const File file(printed.text);

  const CommandLine again = read({"--print-config", "--config", file.path()});

  CHECK(again.text == printed.text);
  CHECK(again.options.worker.root_path == "/a\"b");
  CHECK(again.options.worker.raw_forms);
  CHECK(again.options.worker.trusted_proxies.texts() == std::vector<std::string>{"10.0.0.0/8", "unix"});
  CHECK(again.options.worker.proxy_protocol.texts() == std::vector<std::string>{"2001:db8::/32"});
  REQUIRE(again.options.channels.size() == 2);
  CHECK(again.options.channels[0].limits == shm::ChannelLimits{5, milliseconds(250)});
  CHECK(again.options.worker.accept_by_consumer);
  CHECK(again.options.access_log == "/var/log/a \"b\".log");
  CHECK(again.options.worker.access_log_json);
}

TEST_CASE("the access log is off, standard output or a file, in one of two formats") {
  CHECK(read({}).options.access_log == "off");
  CHECK_FALSE(read({}).options.worker.access_log_json);
  CHECK(read({"--access-log", "-"}).options.access_log == "-");
  CHECK(read({"--access-log=-"}).options.access_log == "-");
  CHECK(read({}, {"SLUICE_ACCESS_LOG=access.log", "SLUICE_ACCESS_LOG_FORMAT=json"}).options.access_log ==
        "access.log");
  CHECK_FALSE(read({"--access-log-format", "combined"}).options.worker.access_log_json);
}

TEST_CASE("help names every option with its unit, and version names the version") {
  const std::string help = read({"--help"}).text;

  CHECK(help.find("--header-timeout SECONDS") != std::string::npos);
  CHECK(help.find("--max-body SIZE") != std::string::npos);
  CHECK(help.find("--listen ADDRESS") != std::string::npos);
  CHECK(help.find("--access-log off|-|PATH") != std::string::npos);
  CHECK(help.find("--access-log-format combined|json") != std::string::npos);
  CHECK(read({"--version"}).text.starts_with("sluice "));
}

TEST_CASE("check says so when all options are sound") {
  CHECK(read({"--check"}).asked == Asked::kText);
  CHECK(refusal({"--check", "--workers", "0"}) ==
        "workers 0 must be a whole number from 1 to 128 (from the command line)");
}

TEST_CASE("connections are rounded up to whole words of the ready bitmap") {
  CHECK(read({"--max-connections", "100"}).options.worker.max_connections == 128);
}

TEST_CASE("an unknown option is refused by name") {
  CHECK(refusal({"--wrokers", "2"}) == "unknown option --wrokers; see sluice --help");
  CHECK(refusal({"surplus"}) == "unknown option surplus; see sluice --help");
}

TEST_CASE("an unknown variable is refused by name, one of the tree's tools is not") {
  CHECK(refusal({}, {"SLUICE_WROKERS=2"}) == "unknown variable SLUICE_WROKERS in the environment");
  CHECK(refusal({}, {"SLUICE_TEST_SLOWNESS=2", "SLUICE_BUILD=b", "OTHER=1"}).empty());
}

TEST_CASE("an unknown key of the file is refused with its line") {
  const File file("workers = 2\nwrokers = 2\n");

  CHECK(refusal({"--config", file.path()}) ==
        std::string("unknown key wrokers in ") + file.path() + " line 2");
}

TEST_CASE("a file that is no TOML, or not there, is refused in one line") {
  const File file("workers = \n");

  const std::string broken = refusal({"--config", file.path()});
  const std::string missing = refusal({"--config", "/nowhere/sluice.toml"});

  CHECK(broken.starts_with(std::string(file.path()) + " line 1: "));
  CHECK(broken.find('\n') == std::string::npos);
  CHECK(missing == "cannot read /nowhere/sluice.toml: No such file or directory");
  CHECK(refusal({"--config", "/tmp"}).starts_with("cannot read /tmp: not a file"));
}

TEST_CASE("a value of the wrong kind in the file is refused") {
  const File truth("workers = true\n");
  const File list("workers = [1, 2]\n");

  CHECK(refusal({"--config", truth.path()}).ends_with("line 1 must be a number or a text"));
  CHECK(refusal({"--config", list.path()}).ends_with("line 1 must be a number or a text"));
}

TEST_CASE("every bound says what is allowed and where the value came from") {
  struct Case {
    const char* name;
    const char* value;
    const char* line;
  };
  const Case cases[] = {
      {"--workers", "129",
       "workers 129 must be a whole number from 1 to 128 (from the command line)"},
      {"--workers", "two",
       "workers two must be a whole number from 1 to 128 (from the command line)"},
      {"--workers", "-1",
       "workers -1 must be a whole number from 1 to 128 (from the command line)"},
      {"--demo", "65", "demo 65 must be a whole number from 0 to 64 (from the command line)"},
      {"--max-consumers", "0",
       "max-consumers 0 must be a whole number from 1 to 512 (from the command line)"},
      {"--max-connections", "262145",
       "max-connections 262145 must be a whole number from 1 to 262144 (from the command line)"},
      {"--header-timeout", "0",
       "header-timeout 0 must be seconds from 0.001 to 86400 (from the command line)"},
      {"--header-timeout", "nan",
       "header-timeout nan must be seconds from 0.001 to 86400 (from the command line)"},
      {"--header-timeout", "5s",
       "header-timeout 5s must be seconds from 0.001 to 86400 (from the command line)"},
      {"--max-head", "1",
       "max-head 1 must be a size from 256 to 1M, in bytes or with K, M or G (from the command "
       "line)"},
      {"--max-head", "2M",
       "max-head 2M must be a size from 256 to 1M, in bytes or with K, M or G (from the command "
       "line)"},
      {"--max-head", "99999999999999999999",
       "max-head 99999999999999999999 must be a size from 256 to 1M, in bytes or with K, M or G "
       "(from the command line)"},
      {"--max-head", "K",
       "max-head K must be a size from 256 to 1M, in bytes or with K, M or G (from the command "
       "line)"},
      {"--forms", "cooked", "forms cooked must be parsed or raw (from the command line)"},
      {"--accept", "me", "accept me must be gateway or consumer (from the command line)"},
      {"--root-path", "app",
       "root-path app must be empty or a path that begins with / (from the command line)"},
      {"--control", "relative",
       "control relative must be an absolute path (from the command line)"},
      {"--listen", "8000",
       "listen 8000 must be host:port, [v6]:port, unix:/path or fd:N (from the command line)"},
      {"--listen", "a:99999",
       "listen a:99999 must be host:port, [v6]:port, unix:/path or fd:N (from the command line)"},
      {"--listen", "::1:80",
       "listen ::1:80 must have brackets around an IPv6 address, as in [::1]:8000 (from the "
       "command line)"},
      {"--listen", "nowhere:at:all",
       "listen nowhere:at:all must be host:port, [v6]:port, unix:/path or fd:N (from the command "
       "line)"},
      {"--listen", "unix:relative",
       "listen unix:relative must be host:port, [v6]:port, unix:/path or fd:N (from the command "
       "line)"},
      {"--channel", "a b", "channel a b must be a channel name or glob, then capacity=N, expiry=SECONDS, each at most once (from the command line)"},
      {"--channel", "a", "channel a must be followed by capacity=N, expiry=SECONDS or both (from the command line)"},
      {"--channel", "", "channel  must be a channel name or glob, then capacity=N, expiry=SECONDS (from the command line)"},
      {"--channel", "a/b capacity=1", "channel a/b capacity=1 must be a channel name or glob, then capacity=N, expiry=SECONDS (from the command line)"},
      {"--channel", "a capacity=0", "channel a capacity=0 must be capacity=a whole number from 1 to 65536 (from the command line)"},
      {"--channel", "a capacity=65537", "channel a capacity=65537 must be capacity=a whole number from 1 to 65536 (from the command line)"},
      {"--channel", "a capacity", "channel a capacity must be capacity=a whole number from 1 to 65536 (from the command line)"},
      {"--channel", "a capacity=1 capacity=2", "channel a capacity=1 capacity=2 must be a channel name or glob, then capacity=N, expiry=SECONDS, each at most once (from the command line)"},
      {"--channel", "a expiry=0", "channel a expiry=0 must be expiry=seconds from 0.01 to 86400 (from the command line)"},
      {"--channel", "a expiry=1e9", "channel a expiry=1e9 must be expiry=seconds from 0.01 to 86400 (from the command line)"},
      {"--drop-share", "1.5", "drop-share 1.5 must be a number from 0 to 1 (from the command line)"},
      {"--drop-share", "nan", "drop-share nan must be a number from 0 to 1 (from the command line)"},
      {"--drop-share", "", "drop-share  must be a number from 0 to 1 (from the command line)"},
      {"--trusted-proxies", "*",
       "trusted-proxies * must be addresses, networks like 192.0.2.0/24, or unix, not '*' (from the command line)"},
      {"--trusted-proxies", "10.0.0.1,,unix",
       "trusted-proxies 10.0.0.1,,unix must be addresses, networks like 192.0.2.0/24, or unix, not '' (from the command line)"},
      {"--proxy-protocol", "unix,10.0.0.1/8",
       "proxy-protocol unix,10.0.0.1/8 must be networks without further bits: 10.0.0.0/8, not '10.0.0.1/8' (from the command line)"},
      {"--access-log", "", "access-log  must be off, - or a path (from the command line)"},
      {"--access-log-format", "xml",
       "access-log-format xml must be combined or json (from the command line)"},
      {"--listen", "fd:2", "listen fd:2 must be a descriptor from fd:3 on (from the command line)"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    CAPTURE(c.value);
    CHECK(refusal({c.name, c.value}) == c.line);
  }
  CHECK(refusal({}, {"SLUICE_WORKERS=0"}) ==
        "workers 0 must be a whole number from 1 to 128 (from the environment)");
}

TEST_CASE("a control path too long for a socket is refused") {
  const std::string path = "/" + std::string(108, 'a');

  CHECK(refusal({"--control", path.c_str()}) ==
        "control " + path + " must be shorter than 108 bytes (from the command line)");
}

TEST_CASE("a line longer than a head is refused") {
  CHECK(refusal({"--max-head", "1K", "--max-line", "2K"}) == "max-line must not be above max-head");
}

TEST_CASE("an option without its value, or given twice, is refused in one line") {
  const std::string without = refusal({"--workers"});
  const std::string twice = refusal({"--workers", "1", "--workers", "2"});

  CHECK(without.find("--workers") != std::string::npos);
  CHECK(twice.find("--workers") != std::string::npos);
  CHECK(twice.find('\n') == std::string::npos);
}

TEST_CASE("the shared memory of the largest and the smallest options has a valid geometry") {
  const Options most =
      read({"--workers", "128", "--max-consumers", "512", "--max-connections", "262144"}).options;
  const Options least =
      read({"--workers", "1", "--max-consumers", "1", "--max-connections", "1"}).options;

  CHECK(shm::valid(geometry_for(most)));
  CHECK(shm::valid(geometry_for(least)));
}

}  // namespace
