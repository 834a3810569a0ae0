// gateway/options.cc -- gathers what each source says as text, then reads each key once from the
// first source that has it; see options.h.
#include "gateway/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <optional>

#include "gateway/control_path.h"
#include "gateway/option_table.h"
#include "protocol/limits.h"

namespace sluice {
namespace {

// What one source says, by key; and the source's name for error lines.
struct Source {
  std::string name;
  std::map<std::string, std::vector<std::string>> values;
};

std::string variable_of(const std::string& key) {
  std::string name = "SLUICE_" + key;
  for (char& c : name)
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

const OptionKey* find_key(std::string_view name) {
  for (const OptionKey& key : option_table()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

// Variables that the tree's own tools read, not the gateway.
bool is_of_tools(std::string_view name) {
  return name == "SLUICE_BUILD" || name.starts_with("SLUICE_MESON_") ||
         name.starts_with("SLUICE_TEST_");
}

Source read_environment(const char* const* environment, std::string& config) {
  Source source{"the environment", {}};
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const size_t equals = entry.find('=');
    if (!entry.starts_with("SLUICE_") || equals == std::string_view::npos) continue;
    const std::string_view name = entry.substr(0, equals);
    const std::string value(entry.substr(equals + 1));
    if (is_of_tools(name)) continue;
    if (name == "SLUICE_CONFIG") {
      config = value;
      continue;
    }
    const auto& table = option_table();
    const auto key = std::find_if(table.begin(), table.end(),
                                  [&](const OptionKey& k) { return variable_of(k.name) == name; });
    if (key == table.end())
      throw OptionError(fmt::format("unknown variable {} in the environment", name));
    source.values[key->name] =
        key->repeatable ? split_list(value) : std::vector<std::string>{value};
  }
  return source;
}

// A number, a text, or (for keys that may be repeated) a list of texts.
std::string scalar_text(const toml::node& node, const std::string& where) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  if (const auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  throw OptionError(where + " must be a number or a text");
}

Source read_file(const std::string& path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) {
    throw OptionError(fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  }
  if (!S_ISREG(file.st_mode) || file.st_size > static_cast<off_t>(limits::kConfigFileBytes)) {
    throw OptionError(fmt::format("cannot read {}: not a file of at most {} bytes", path,
                                  limits::kConfigFileBytes));
  }
  Source source{path, {}};
  try {
    const toml::table table = toml::parse_file(path);
    for (const auto& [name, node] : table) {
      const std::string key(name.str());
      const std::string where =
          fmt::format("{} in {} line {}", key, path, node.source().begin.line);
      const OptionKey* const known = find_key(key);
      if (known == nullptr) throw OptionError("unknown key " + where);
      std::vector<std::string>& values = source.values[key];
      if (const toml::array* const list = node.as_array(); list != nullptr && known->repeatable) {
        for (const toml::node& element : *list) values.push_back(scalar_text(element, where));
      } else {
        values.push_back(scalar_text(node, where));
      }
    }
  } catch (const toml::parse_error& error) {
    throw OptionError(
        fmt::format("{} line {}: {}", path, error.source().begin.line, error.description()));
  }
  return source;
}

struct Switches {
  bool check = false, print_config = false, version = false;
  std::string config;
};

// CLI11 gathers the texts, and makes the help; the values are read by the table.
Source read_arguments(int argc, const char* const* argv, Switches& switches, std::string& help) {
  CLI::App app("Sluice keeps the connections, so that code can come and go.", "sluice");
  app.footer(
      "SIZE is bytes, or with K, M, G. SECONDS may have a fraction. Each option may also stand in "
      "the\n"
      "environment (SLUICE_HEADER_TIMEOUT=5) or in the --config file (header-timeout = 5); the "
      "command\n"
      "line comes first, then the environment, then the file.");
  app.set_help_flag();
  bool asked_help = false;
  app.add_flag("-h,--help", asked_help, "show this and end");
  app.add_flag("--version", switches.version, "show the version and end");
  app.add_flag("--check", switches.check, "check all options and end");
  app.add_flag("--print-config", switches.print_config,
               "show all options as a configuration file and end");
  app.add_option("--config", switches.config, "a TOML file with options")->type_name("FILE");

  Source source{"the command line", {}};
  std::map<std::string, std::vector<std::string>> texts;
  const Options defaults = default_options();
  for (const OptionKey& key : option_table()) {
    const std::string shown = key.show(defaults);
    app.add_option("--" + key.name, texts[key.name],
                   key.name == "workers" ? key.help : fmt::format("{} [{}]", key.help, shown))
        ->type_name(key.unit)
        ->expected(key.implied.empty() ? 1 : 0, 1)
        ->allow_extra_args(false)
        ->multi_option_policy(key.repeatable ? CLI::MultiOptionPolicy::TakeAll
                                             : CLI::MultiOptionPolicy::Throw);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    std::string unknown = "?";
    const auto rest = app.remaining();
    if (!rest.empty()) unknown = rest.front();
    throw OptionError(fmt::format("unknown option {}; see sluice --help", unknown));
  } catch (const CLI::ParseError& error) {
    throw OptionError(error.what());
  }
  if (asked_help) help = app.help();
  for (const OptionKey& key : option_table()) {
    std::vector<std::string>& values = texts[key.name];
    if (!key.implied.empty() && app.count("--" + key.name) > 0 &&
        (values.empty() || values.front().empty())) {
      values = {key.implied};
    }
    if (!values.empty()) source.values[key.name] = std::move(values);
  }
  return source;
}

uint32_t usable_cpus() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int count = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::clamp<uint32_t>(static_cast<uint32_t>(count), 1, limits::kWorkersMost);
}

void apply(const Source& source, const OptionKey& key, Options& options) {
  try {
    key.set(options, source.values.at(key.name));
  } catch (const std::invalid_argument& error) {
    throw OptionError(fmt::format("{} {} {} (from {})", key.name,
                                  fmt::join(source.values.at(key.name), ","), error.what(),
                                  source.name));
  }
}

// What no single key can see.
void check_together(const Options& options) {
  if (options.worker.max_line_bytes > options.worker.max_head_bytes) {
    throw OptionError("max-line must not be above max-head");
  }
}

std::string as_file(const Options& options) {
  std::string text;
  for (const OptionKey& key : option_table())
    text += fmt::format("{} = {}\n", key.name, key.show(options));
  return text;
}

}  // namespace

Options default_options() {
  Options options;
  options.workers = usable_cpus();
  options.control = default_control_path();
  options.max_consumers = limits::kConsumers;
  WorkerSettings& w = options.worker;
  w.header_timeout = limits::kHeaderTimeout;
  w.body_timeout = limits::kBodyTimeout;
  w.send_timeout = limits::kSendTimeout;
  w.keepalive_timeout = limits::kKeepaliveTimeout;
  w.answer_timeout = limits::kAnswerTimeout;
  w.hold_timeout = limits::kHoldTimeout;
  w.drain_timeout = limits::kDrainTimeout;
  w.receive_timeout = limits::kReceiveTimeout;
  w.stuck_timeout = limits::kStuckTimeout;
  w.ping_interval = limits::kPingInterval;
  w.ping_timeout = limits::kPingTimeout;
  w.group_expiry = limits::kGroupExpiry;
  w.max_head_bytes = limits::kHeadBytes;
  w.max_line_bytes = limits::kHeaderLineBytes;
  w.max_headers = limits::kHeaderFields;
  w.max_body_bytes = limits::kBodyBytes;
  w.max_message_bytes = limits::kWebSocketMessageBytes;
  w.max_connections = limits::kConnectionsPerWorker;
  return options;
}

CommandLine read_command_line(int argc, const char* const* argv, const char* const* environment) {
  CommandLine result;
  Switches switches;
  std::vector<Source> sources;  // first come, first believed
  sources.push_back(read_arguments(argc, argv, switches, result.text));
  if (!result.text.empty() || switches.version) {
    result.asked = Asked::kText;
    if (result.text.empty()) result.text = "sluice " SLUICE_VERSION "\n";
    return result;
  }
  std::string config;
  sources.push_back(read_environment(environment, config));
  if (!switches.config.empty()) config = switches.config;
  if (!config.empty()) sources.push_back(read_file(config));

  result.options = default_options();
  for (const OptionKey& key : option_table()) {
    for (const Source& source : sources) {
      if (!source.values.contains(key.name)) continue;
      apply(source, key, result.options);
      break;
    }
  }
  check_together(result.options);
  if (switches.print_config || switches.check) {
    result.asked = Asked::kText;
    result.text = switches.print_config ? as_file(result.options) : "options are sound\n";
  }
  return result;
}

}  // namespace sluice
