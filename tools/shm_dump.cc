// tools/shm_dump.cc -- prints what stands in the shared memory of a living gateway: processes, channels,
// blocks, connections. It changes nothing: the gateway gives it the segment opened for reading only.
//
//   shm_dump [--json] [--control PATH]        PATH as for sluice: else SLUICE_CONTROL, else the default
//
// By the control socket and not by /proc/<master>/fd: the gateway decides who may look (its own user
// and root, as for consumers), says which version it speaks, and opens the segment for reading itself,
// where /proc would hand out a descriptor that may write.
//
// Exit codes: 0 printed, and the four of Exit; then one line on stderr says why.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "gateway/control_path.h"
#include "protocol/limits.h"
#include "shm/attach.h"
#include "shm/clock.h"
#include "tools/shm_dump_print.h"

namespace sluice {
namespace {

enum Exit : int {
  kPrinted = 0,
  kNoGateway = 1,     // nobody there, it left meanwhile or does not answer; or stdout is closed
  kUsage = 2,         // the words of the command line are wrong
  kNoRight = 3,       // it is not ours to look at
  kOtherVersion = 4,  // its layout is of another version than ours
};

constexpr char kHelp[] =
    "shm_dump [--json] [--control PATH] -- prints the shared memory of a living gateway\n"
    "  --json          one JSON object instead of tables\n"
    "  --control PATH  the gateway's control socket (default: SLUICE_CONTROL, else as for sluice)\n"
    "exit codes: 0 printed, 1 no gateway there, 2 usage, 3 no right to look, 4 another version\n";

struct Wanted {
  bool help = false;
  bool json = false;
  std::string control;
};

// Nothing when a word is none of ours.
std::optional<Wanted> parse(int argc, char** argv) {
  Wanted wanted;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help") {
      wanted.help = true;
    } else if (word == "--json") {
      wanted.json = true;
    } else if (word == "--control" && i + 1 < argc) {
      wanted.control = argv[++i];
    } else {
      return std::nullopt;
    }
  }
  const char* const from_environment = std::getenv("SLUICE_CONTROL");
  if (wanted.control.empty() && from_environment != nullptr) wanted.control = from_environment;
  if (wanted.control.empty()) wanted.control = default_control_path();
  return wanted;
}

// Arenas from the gateway, as long as the time of an observer lasts: a gateway that stops answering
// costs the ages of messages, not the whole of the picture.
class ObservedArenas final : public shm::ArenaSource {
 public:
  explicit ObservedArenas(int socket) noexcept : arenas_(socket) {}
  [[nodiscard]] shm::Fd fetch(shm::ProcessIndex process, uint32_t incarnation) noexcept override {
    if (shm::now_ms() - begun_ms_ > static_cast<uint64_t>(kLongest.count())) return {};
    return arenas_.fetch(process, incarnation);
  }

 private:
  static constexpr std::chrono::milliseconds kLongest = limits::kAttachTimeout;
  shm::AttachedArenas arenas_;
  uint64_t begun_ms_ = shm::now_ms();
};

Result<shm::Snapshot> observe(const std::string& path) {
  const Result<shm::Fd> control = shm::connect_to_gateway(path);
  if (!control.ok()) return control.error();
  shm::AttachPacket packet{};
  packet.word = shm::AttachWord::kObserve;
  packet.version = shm::kLayoutVersion;
  packet.magic = shm::kMagic;
  if (auto sent = shm::send_packet(control->get(), packet, {}); !sent.ok()) return sent.error();
  Result<shm::Received> observed = shm::expect_packet(control->get(), shm::AttachWord::kObserved);
  if (!observed.ok()) return observed.error();
  if (observed->fds.size() != 1) return Error::kMessageMalformed;
  const Result<shm::Segment> segment = shm::Segment::observe(std::move(observed->fds[0]));
  if (!segment.ok()) return segment.error();
  ObservedArenas source(control->get());
  shm::Arenas arenas(*segment, shm::kNobody, &source);
  return shm::take_snapshot(*segment, arenas);
}

Exit complain(Error error, const std::string& path) {
  const auto say = [&path](Exit code, std::string_view what) {
    const std::string line = fmt::format("shm_dump: {}: {}\n", path, what);
    std::fputs(line.c_str(), stderr);
    return code;
  };
  switch (error) {
    case Error::kDetached:
      return say(kNoGateway, "no gateway there");
    case Error::kTimedOut:
      return say(kNoGateway, "the gateway does not answer");
    case Error::kRefused:
      return say(kNoRight, "no right to look at this gateway");
    default:
      return say(kOtherVersion,
                 fmt::format("the gateway's layout is not the one we read, version {}",
                             shm::kLayoutVersion));
  }
}

Exit print(const std::string& text) {
  const bool whole = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (whole && std::fflush(stdout) == 0) return kPrinted;
  std::fprintf(stderr, "shm_dump: cannot write: %s\n", std::strerror(errno));
  return kNoGateway;
}

Exit run(int argc, char** argv) {
  const std::optional<Wanted> wanted = parse(argc, argv);
  if (!wanted) {
    std::fputs(kHelp, stderr);
    return kUsage;
  }
  if (wanted->help) return print(kHelp);
  const Result<shm::Snapshot> snapshot = observe(wanted->control);
  if (!snapshot.ok()) return complain(snapshot.error(), wanted->control);
  return print(wanted->json ? as_json(*snapshot) : as_table(*snapshot));
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  try {
    return sluice::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "shm_dump: %s\n", error.what());
    return sluice::kNoGateway;
  }
}
