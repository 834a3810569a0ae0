// gateway/options.h -- command line, environment and configuration file become one immutable
// Options.
//
// O1  The command line comes before SLUICE_* variables, these before the file, the file before the
//     defaults; each key is taken whole from one of them (`listen` too).
// O2  What is unknown or out of bounds is an error: one line, which says what is allowed and where
//     the value came from.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway/listen_address.h"
#include "shm/channel_rules.h"
#include "shm/layout.h"
#include "worker/worker.h"

namespace sluice {

// Capacity and expiry of the channels whose names a glob matches.
struct ChannelOption {
  std::string glob;
  shm::ChannelLimits limits{};
};

struct Options {
  std::vector<ListenAddress> listen;  // empty: sockets from LISTEN_FDS, or else kDefaultListen
  uint32_t workers = 1;
  uint32_t demo = 0;    // demo consumers to start
  std::string control;  // path of the control socket, absolute
  std::string access_log = "off";  // "off", "-" for standard output, or a path
  uint32_t max_consumers = 0;
  std::vector<ChannelOption> channels;  // the first whose glob matches counts
  double drop_share = 0;                // shm/drop_mode.h
  uint32_t drop_seed = 0;
  WorkerSettings worker{};
};

inline constexpr const char* kDefaultListen = "127.0.0.1:8000";

// Where they come from is in the text.
class OptionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Asked : uint8_t {
  kRun,
  kText,  // --help, --version, --print-config, --check: print the text and end
};
struct CommandLine {
  Asked asked = Asked::kRun;
  Options options;
  std::string text;
};

// Reads all three sources. `environment` holds "NAME=value" and ends with a null pointer. Throws
// OptionError.
[[nodiscard]] CommandLine read_command_line(int argc, const char* const* argv,
                                            const char* const* environment);

[[nodiscard]] Options default_options();

}  // namespace sluice
