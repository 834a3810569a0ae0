// tests/fuzz/control_fuzz.cc -- any clients on the control socket, against what control.h promises.
//
// The bytes are a script: who connects, which packets and descriptors it sends, whole, cut or far too
// many, who reads, who leaves. The master's side runs for real, on a small segment.
// K1  It goes on whatever comes: no descriptor is leaked, none of others' closed, nothing waits for
//     anybody.
// K2  Who is attached went all the way, and no more of them than are allowed.
// With libFuzzer this file is the target; with replay.cc it runs a corpus once.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gateway/control.h"
#include "tests/support/segment_fixture.h"
#include "worker/log.h"

namespace sluice {

// Refusals are many here, and said for nobody.
void log_event(LogLevel, std::string_view, std::initializer_list<LogField>) noexcept {}

}  // namespace sluice

namespace {

using namespace sluice;
using shm::AttachPacket;
using shm::AttachWord;
using shm::Fd;

constexpr uint32_t kMostConsumers = 3;
constexpr size_t kClients = 6;

void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "%s does not hold\n", promise);
  std::abort();
}

struct Descriptor {
  int number;
  dev_t device;
  ino_t inode;
  auto operator<=>(const Descriptor&) const = default;
};

std::set<Descriptor> open_descriptors() {
  DIR* folder = ::opendir("/proc/self/fd");
  require(folder != nullptr, "listing descriptors");
  std::set<Descriptor> open;
  while (const dirent* entry = ::readdir(folder)) {
    const int number = std::atoi(entry->d_name);
    struct stat file {};
    if (entry->d_name[0] == '.' || number == ::dirfd(folder)) continue;
    require(::fstat(number, &file) == 0, "listing descriptors");
    open.insert({number, file.st_dev, file.st_ino});
  }
  ::closedir(folder);
  return open;
}

void require_same(const std::set<Descriptor>& before, const std::set<Descriptor>& after) {
  for (const Descriptor& one : before) {
    if (!after.contains(one)) std::fprintf(stderr, "closed: %d\n", one.number);
  }
  for (const Descriptor& one : after) {
    if (before.contains(one)) continue;
    char what[256] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(one.number);
    const bool named = ::readlink(link.c_str(), what, sizeof what - 1) > 0;
    std::fprintf(stderr, "left open: %d %s\n", one.number, named ? what : "");
  }
  require(before == after, "K1");
}

struct Gateway final : Control::Events {
  explicit Gateway(const std::string& path) : memory(tests::small_geometry()) {
    require(uv_loop_init(&loop) == 0, "a loop");
    control = std::make_unique<Control>(loop, memory, *this, kMostConsumers);
    control->open(std::make_unique<ControlSocket>(path));
  }
  ~Gateway() override {
    control.reset();
    for (int i = 0; i < 3; ++i) uv_run(&loop, UV_RUN_NOWAIT);
    require(uv_loop_close(&loop) == 0, "K1");
  }
  void on_hello() noexcept override {}
  void on_arena(shm::ProcessName consumer) noexcept override {
    require(memory.arena(consumer) >= 0, "K2");
  }
  void on_attached() noexcept override {}
  void on_consumer_dead(shm::ProcessName consumer) noexcept override {
    memory.recovery().on_death(consumer);
    static_cast<void>(memory.advance());
  }
  void run() {
    for (int i = 0; i < 3; ++i) uv_run(&loop, UV_RUN_NOWAIT);
    require(control->attached() <= kMostConsumers, "K2");
  }

  uv_loop_t loop{};
  SharedMemory memory;
  std::unique_ptr<Control> control;
};

class Script {
 public:
  Script(const uint8_t* bytes, size_t size) : at_(bytes), end_(bytes + size) {}
  [[nodiscard]] bool over() const { return at_ == end_; }
  uint8_t next() { return at_ == end_ ? 0 : *at_++; }
  uint32_t word() { return next() | uint32_t{next()} << 8; }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

Fd connect_to(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

AttachPacket packet_of(Script& script) {
  AttachPacket packet{};
  packet.word = static_cast<AttachWord>(script.next() % 24);
  const uint8_t wrong = script.next();
  packet.magic = (wrong & 1) != 0 ? script.word() : shm::kMagic;
  packet.version = (wrong & 2) != 0 ? script.word() : shm::kLayoutVersion;
  packet.process = (wrong & 4) != 0 ? script.word() * 70001u : script.next() % 8;
  packet.incarnation = (wrong & 8) != 0 ? ~script.word() : script.next() % 3;
  packet.number = script.next();
  return packet;
}

void send_raw(int socket, const void* bytes, size_t size, const std::vector<int>& fds) {
  iovec part{const_cast<void*>(bytes), size};
  alignas(cmsghdr) char control[CMSG_SPACE(32 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  static_cast<void>(::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

// Gone at the end of the process.
struct Folder {
  Folder() { require(::mkdtemp(name.data()) != nullptr, "a folder"); }
  ~Folder() { ::rmdir(name.c_str()); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string name = "/tmp/sluice-fuzz-XXXXXX";
};

// All that waits for a client; what it brings is let go.
void read_all(int socket) {
  while (shm::receive_packet(socket, 0).ok()) {
  }
}

void play(Script& script, const std::string& path) {
  Gateway gateway(path);
  std::vector<Fd> clients(kClients);
  while (!script.over()) {
    const uint8_t what = script.next();
    Fd& client = clients[(what >> 4) % kClients];
    if (!client) {
      client = connect_to(path);
      if (!client) {
        gateway.run();
        continue;
      }
    }
    switch (what & 15) {
      case 0:
      case 1:
      case 2: {  // the way of an honest one
        AttachPacket packet = packet_of(script);
        packet.word = (what & 15) == 0   ? AttachWord::kHello
                      : (what & 15) == 1 ? AttachWord::kMapped
                                         : AttachWord::kWantArena;
        static_cast<void>(shm::send_packet(client.get(), packet, {}));
        break;
      }
      case 3:
      case 4: {
        const AttachPacket packet = packet_of(script);
        static_cast<void>(shm::send_packet(client.get(), packet, {}));
        break;
      }
      case 5: {  // any bytes, of any length
        std::string bytes(script.next(), '\0');
        for (char& byte : bytes) byte = static_cast<char>(script.next());
        send_raw(client.get(), bytes.data(), bytes.size(), {});
        break;
      }
      case 6: {  // descriptors nobody asked for
        const AttachPacket packet = packet_of(script);
        const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
        send_raw(client.get(), &packet, script.next() % 2 == 0 ? sizeof packet : 7,
                 std::vector<int>(1 + script.next() % 20, null.get()));
        break;
      }
      case 7: {  // a flood
        AttachPacket packet = packet_of(script);
        for (int i = 0; i < 300; ++i) static_cast<void>(shm::send_packet(client.get(), packet, {}));
        break;
      }
      case 8:
      case 9: read_all(client.get()); break;
      case 10: client.reset(); break;
      case 11: ::shutdown(client.get(), script.next() % 3); break;
      case 12: {  // a slow one
        const int bytes = 1;
        ::setsockopt(client.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        break;
      }
      case 13: gateway.control->refuse_new(); break;
      default: gateway.run();
    }
    if (script.next() % 2 == 0) gateway.run();
  }
  gateway.run();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const Folder folder;
  static const std::string path = folder.name + "/control";
  [[maybe_unused]] static const bool warm = [] {
    Script nothing(nullptr, 0);  // what libraries keep open
    play(nothing, path);
    return true;
  }();
  // Listed anew for each input: between two of them the fuzzer opens what it keeps, pipes to the
  // symbolizer when it first names a function.
  const std::set<Descriptor> before = open_descriptors();
  Script script(bytes, std::min<size_t>(size, 512));
  play(script, path);
  require_same(before, open_descriptors());
  return 0;
}
