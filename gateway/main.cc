// gateway/main.cc -- the life of the gateway as a list of named steps.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>

#include "gateway/access_log_file.h"
#include "gateway/control_path.h"
#include "gateway/exit_code.h"
#include "gateway/instance_lock.h"
#include "gateway/listener.h"
#include "gateway/master.h"
#include "gateway/options.h"
#include "gateway/privileges.h"
#include "gateway/process_title.h"
#include "protocol/limits.h"
#include "worker/log.h"

namespace sluice {
namespace {

// Removes the control socket's folder at the end, if we made it and nothing else came into it.
class Folder {
 public:
  explicit Folder(const std::string& control)
      : path_(std::filesystem::path(control).parent_path()), made_(make_control_folder(control)) {}
  ~Folder() {
    if (made_) ::rmdir(path_.c_str());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

 private:
  std::string path_;
  bool made_;
};

std::vector<ListenAddress> addresses_of(const Options& options) {
  std::vector<ListenAddress> addresses = options.listen;
  for (const ListenAddress& passed : passed_sockets()) {  // fd:3 of them may be named as well
    if (std::ranges::find(addresses, passed) == addresses.end()) addresses.push_back(passed);
  }
  if (addresses.empty()) addresses.push_back(parse_listen_address(kDefaultListen));
  return addresses;
}

int run_gateway(const Options& options) {
  raise_descriptor_limit();
  const Folder folder(options.control);
  const InstanceLock lock(options.control);
  Listeners listeners(addresses_of(options), options.workers,
                      lock.was_stale() ? limits::kPortRetry : std::chrono::seconds(0));
  AccessLogFile access_log(options.access_log);
  Master master(options, listeners, access_log);
  set_process_title("sluice: master");
  return master.run();
}

int complain(const std::exception& error, int code) {
  std::fprintf(stderr, "sluice: %s\n", error.what());
  return code;
}

int run(int argc, char** argv) {
  keep_title_space(argc, argv);
  set_log_role("master");
  std::optional<CommandLine> command;
  try {
    command = read_command_line(argc, argv, environ);
  } catch (const std::exception& error) {
    return complain(error, kExitDoNotRestart);
  }
  if (command->asked == Asked::kText) {
    std::fputs(command->text.c_str(), stdout);
    return kExitEnded;
  }
  try {
    return run_gateway(command->options);
  } catch (const std::exception& error) {
    return complain(error, kExitFailed);
  }
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::run(argc, argv); }
