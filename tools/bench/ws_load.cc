// tools/bench/ws_load.cc -- WebSocket load on one server from one thread, for tools/dev bench.
//
//   ws_load echo HOST PORT PATH CONNECTIONS SIZE SECONDS [DEPTH]
//     each connection keeps DEPTH text messages of SIZE bytes under way and checks what comes back
//   ws_load broadcast HOST PORT PATH CONNECTIONS SIZE SECONDS [DEPTH]
//     the last one sends a message that the server sends to all, DEPTH of them under way; what is counted
//     is each one's getting it
//
// An echo or broadcast says `opened` when its connections are, and goes on with the next line of standard
// input, or its end. Prints lines of key=value: the rate, latencies from write to echo, errors, its own CPU time. Exit
// code 0: no error; 1: errors, they are counted in the line; 2: it could not begin.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// The key of RFC 6455 section 1.3 and its answer: the same each time, as nothing here needs chance.
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
constexpr std::array<unsigned char, 4> kMask = {0x37, 0xfa, 0x21, 0x3d};
constexpr char kText = '\x81';
constexpr char kClose = '\x88';
constexpr char kPing = '\x89';
constexpr char kPong = '\x8a';
constexpr int kHandshakeSeconds = 30;
// A source address has some 28,000 ports; on loopback there are more addresses.
constexpr size_t kConnectionsPerAddress = 20000;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// How long things took, in buckets that are 1/32 of their value wide.
class Latencies {
 public:
  void add(uint64_t ns) {
    const auto shift = ns < 32 ? 0 : static_cast<unsigned>(std::bit_width(ns)) - 6;
    ++buckets_[shift * 32 + (ns >> shift)];
    ++count_;
  }
  [[nodiscard]] double microseconds(double quantile) const {
    const auto wanted = static_cast<uint64_t>(quantile * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen <= wanted) continue;
      const size_t shift = i < 64 ? 0 : i / 32 - 1;
      return static_cast<double>((i - shift * 32) << shift) / 1000;
    }
    return 0;
  }
  [[nodiscard]] uint64_t count() const { return count_; }

 private:
  std::array<uint64_t, 64 * 32> buckets_{};
  uint64_t count_ = 0;
};

void append_length(std::string& frame, size_t size, int mask_bit) {
  const size_t extended = size < 126 ? 0 : size < 65536 ? 2 : 8;
  const size_t first = extended == 0 ? size : extended == 2 ? 126 : 127;
  frame.push_back(static_cast<char>(static_cast<size_t>(mask_bit) | first));
  for (size_t i = extended; i-- > 0;) {
    frame.push_back(static_cast<char>(static_cast<uint64_t>(size) >> (8 * i)));
  }
}

std::string client_frame(char head, std::string_view payload) {
  std::string frame(1, head);
  append_length(frame, payload.size(), 0x80);
  for (const unsigned char byte : kMask) frame.push_back(static_cast<char>(byte));
  for (size_t i = 0; i < payload.size(); ++i) {
    frame.push_back(static_cast<char>(static_cast<unsigned char>(payload[i]) ^ kMask[i % 4]));
  }
  return frame;
}

std::string server_frame(char head, std::string_view payload) {
  std::string frame(1, head);
  append_length(frame, payload.size(), 0);
  return frame.append(payload);
}

struct Target {
  std::string host, port, path;
  sockaddr_storage address{};
  socklen_t address_size = 0;
};

Target resolve(const char* host, const char* port, const char* path) {
  Target target{host, port, path, {}, 0};
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host, port, &wanted, &found); error != 0) {
    throw std::runtime_error(gai_strerror(error));
  }
  std::memcpy(&target.address, found->ai_addr, found->ai_addrlen);
  target.address_size = found->ai_addrlen;
  freeaddrinfo(found);
  return target;
}

// One WebSocket: opened blocking, then driven by what epoll says.
class Client {
 public:
  Client(const Target& target, size_t number) { open(target, number), shake_hands(target); }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void watch(int epoll, uint32_t number) {
    fcntl(socket_, F_SETFL, O_NONBLOCK);
    epoll_event event{EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.u32 = number}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket_, &event) != 0) fail("epoll_ctl");
  }

  void send(std::string_view bytes) {
    if (!unsent_.empty()) {
      unsent_ += bytes;
      return;
    }
    bytes.remove_prefix(write(bytes));
    unsent_ = bytes;
  }
  void send_rest() { unsent_.erase(0, write(unsent_)); }

  // Reads all there is and calls `take` with each whole frame that is no ping or pong, as it stood
  // on the wire. False when the connection is over.
  template <class Take>
  [[nodiscard]] bool receive(Take take) {
    static std::array<char, 256 * 1024> buffer;
    for (;;) {
      const ssize_t size = recv(socket_, buffer.data(), buffer.size(), 0);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return errno == EAGAIN;
      if (size == 0) return false;
      const std::string_view got(buffer.data(), static_cast<size_t>(size));
      const bool whole = unread_.empty();
      if (!whole) unread_ += got;
      const std::string_view bytes = whole ? got : std::string_view(unread_);
      const size_t taken = take_frames(bytes, take);
      if (whole) {
        unread_ = bytes.substr(taken);
      } else {
        unread_.erase(0, taken);
      }
      if (over_) return false;
      if (got.size() < buffer.size()) return true;  // epoll tells of what comes from now on
    }
  }

  std::deque<Clock::time_point> under_way;  // when each message not yet echoed was written

 private:
  void open(const Target& target, size_t number) {
    socket_ = socket(target.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0) fail("socket");
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const linger reset{1, 0};  // leaves no port waiting behind
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    const timeval patience{kHandshakeSeconds, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const size_t which = number / kConnectionsPerAddress;
    sockaddr_in local{};
    std::memcpy(&local, &target.address, sizeof local);
    if (which > 0 && local.sin_family == AF_INET && ntohl(local.sin_addr.s_addr) >> 24 == 127) {
      local.sin_addr.s_addr = htonl(INADDR_LOOPBACK + static_cast<uint32_t>(which));
      local.sin_port = 0;
      setsockopt(socket_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      if (bind(socket_, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0) fail("bind");
    }
    const auto* address = reinterpret_cast<const sockaddr*>(&target.address);
    if (connect(socket_, address, target.address_size) != 0) fail("connect");
  }

  void shake_hands(const Target& target) {
    std::string request = "GET " + target.path + " HTTP/1.1\r\nHost: " + target.host + ":" +
                          target.port +
                          "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ";
    request.append(kKey) += "\r\n\r\n";
    if (write(request) != request.size()) fail("handshake");
    std::string answer;
    std::array<char, 4096> buffer;
    size_t end = std::string::npos;
    while ((end = answer.find("\r\n\r\n")) == std::string::npos) {
      const ssize_t size = recv(socket_, buffer.data(), buffer.size(), 0);
      if (size < 0) fail("handshake");
      if (size == 0) throw std::runtime_error("handshake: the server hung up");
      answer.append(buffer.data(), static_cast<size_t>(size));
    }
    const std::string head = answer.substr(0, end);
    if (!head.starts_with("HTTP/1.1 101 ") || head.find(kAccept) == std::string::npos) {
      throw std::runtime_error("handshake: " + head.substr(0, head.find('\r')));
    }
    unread_ = answer.substr(end + 4);
  }

  size_t write(std::string_view bytes) {
    size_t written = 0;
    while (written < bytes.size()) {
      const ssize_t size =
          ::send(socket_, bytes.data() + written, bytes.size() - written, MSG_NOSIGNAL);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) break;  // full; or broken, which reading will tell
      written += static_cast<size_t>(size);
    }
    return written;
  }

  // Gives how many bytes whole frames took.
  template <class Take>
  size_t take_frames(std::string_view bytes, Take take) {
    size_t at = 0;
    while (!over_) {
      const std::string_view rest = bytes.substr(at);
      if (rest.size() < 2) break;
      size_t header = 2;
      uint64_t size = static_cast<unsigned char>(rest[1]);
      if (size >= 126) {
        header = size == 126 ? 4 : 10;
        if (rest.size() < header) break;
        size = 0;
        for (size_t i = 2; i < header; ++i) size = size << 8 | static_cast<unsigned char>(rest[i]);
      }
      if (rest.size() - header < size) break;
      const std::string_view frame = rest.substr(0, header + size);
      at += frame.size();
      if (rest[0] == kPing) {
        send(client_frame(kPong, frame.substr(header)));
      } else if (rest[0] == kClose) {
        over_ = true;
      } else if (rest[0] != kPong) {
        take(frame);
      }
    }
    return at;
  }

  int socket_ = -1;
  bool over_ = false;   // the server sent a close
  std::string unread_;  // of a frame not all there
  std::string unsent_;  // what the socket did not take
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

using Clients = std::vector<std::unique_ptr<Client>>;

Clients open_all(const Target& target, size_t count, int epoll) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  Clients clients;
  clients.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<Client>(target, i));
    clients.back()->watch(epoll, static_cast<uint32_t>(i));
  }
  return clients;
}

std::string letters(size_t size) {
  std::string payload(size, '\0');
  for (size_t i = 0; i < size; ++i) payload[i] = static_cast<char>('a' + i % 26);
  return payload;
}

void report(const char* mode, size_t count, size_t size, size_t depth, double elapsed,
            const Latencies& latencies, uint64_t errors, double cpu) {
  std::printf(
      "mode=%s connections=%zu size=%zu depth=%zu seconds=%.3f messages=%llu rate=%.0f "
      "p50_us=%.1f p99_us=%.1f errors=%llu client_cpu_seconds=%.3f\n",
      mode, count, size, depth, elapsed, static_cast<unsigned long long>(latencies.count()),
      static_cast<double>(latencies.count()) / elapsed, latencies.microseconds(0.5),
      latencies.microseconds(0.99), static_cast<unsigned long long>(errors), cpu);
}

// Who counts what the server uses does so from here: handshakes are over.
void say_opened() {
  std::puts("opened");
  std::fflush(stdout);
  for (int c = std::getchar(); c != '\n' && c != EOF;) c = std::getchar();
}

int echo(const Target& target, size_t count, size_t size, double seconds, size_t depth) {
  const std::string payload = letters(size);
  const std::string message = client_frame(kText, payload);
  const std::string expected = server_frame(kText, payload);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  Clients clients = open_all(target, count, epoll);
  say_opened();

  Latencies latencies;
  uint64_t errors = 0;
  std::string burst;
  const auto send_messages = [&](Client& client, size_t messages) {
    burst.clear();
    for (size_t i = 0; i < messages; ++i) burst += message;
    client.under_way.insert(client.under_way.end(), messages, Clock::now());
    client.send(burst);
  };
  const double cpu_before = cpu_seconds();
  const Clock::time_point start = Clock::now();
  for (const auto& client : clients) send_messages(*client, depth);
  std::array<epoll_event, 256> events;
  size_t living = count;
  while (living > 0 && seconds_since(start) < seconds) {
    const int ready = epoll_wait(epoll, events.data(), events.size(), 100);
    for (int i = 0; i < ready; ++i) {
      std::unique_ptr<Client>& client = clients[events[static_cast<size_t>(i)].data.u32];
      if (!client) continue;
      client->send_rest();
      const Clock::time_point now = Clock::now();
      size_t echoed = 0;
      const bool alive = client->receive([&](std::string_view frame) {
        if (frame != expected || client->under_way.empty()) {
          ++errors;
          return;
        }
        const auto took = now - client->under_way.front();
        latencies.add(static_cast<uint64_t>(std::chrono::nanoseconds(took).count()));
        client->under_way.pop_front();
        ++echoed;
      });
      if (alive) {
        if (echoed > 0) send_messages(*client, echoed);
      } else {
        ++errors;
        --living;
        client.reset();
      }
    }
  }
  report("echo", count, size, depth, seconds_since(start), latencies, errors,
         cpu_seconds() - cpu_before);
  return errors == 0 ? 0 : 1;
}

int broadcast(const Target& target, size_t count, size_t size, double seconds, size_t depth) {
  const std::string payload = letters(size);
  const std::string message = client_frame(kText, payload);
  const std::string expected = server_frame(kText, payload);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  Clients clients = open_all(target, count, epoll);
  say_opened();

  Latencies latencies;
  uint64_t errors = 0;
  std::vector<Clock::time_point> sent;  // when each message was written
  std::vector<size_t> got(count);       // messages, by client
  const double cpu_before = cpu_seconds();
  const Clock::time_point start = Clock::now();
  std::array<epoll_event, 256> events;
  while (errors == 0 && seconds_since(start) < seconds) {
    // Who reads a message before others does not let the next be sent.
    while (sent.size() < latencies.count() / count + depth) {
      sent.push_back(Clock::now());
      clients.back()->send(message);
    }
    const int ready = epoll_wait(epoll, events.data(), events.size(), 100);
    const Clock::time_point now = Clock::now();
    for (int i = 0; i < ready; ++i) {
      const uint32_t number = events[static_cast<size_t>(i)].data.u32;
      clients[number]->send_rest();
      const bool alive = clients[number]->receive([&](std::string_view frame) {
        if (frame != expected || got[number] == sent.size()) {
          ++errors;
          return;
        }
        const auto took = now - sent[got[number]++];
        latencies.add(static_cast<uint64_t>(std::chrono::nanoseconds(took).count()));
      });
      if (!alive) ++errors;
    }
  }
  report("broadcast", count, size, depth, seconds_since(start), latencies, errors,
         cpu_seconds() - cpu_before);
  return errors == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  const std::string_view mode = count > 1 ? words[1] : "";
  const auto number = [&](int at) { return std::strtoull(words[at], nullptr, 10); };
  try {
    if ((mode == "echo" || mode == "broadcast") && (count == 8 || count == 9)) {
      const auto load = mode == "echo" ? echo : broadcast;
      return load(resolve(words[2], words[3], words[4]), number(5), number(6),
                  std::strtod(words[7], nullptr), count == 9 ? number(8) : 1);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ws_load: %s\n", error.what());
    return 2;
  }
  std::fputs(
      "usage: ws_load echo HOST PORT PATH CONNECTIONS SIZE SECONDS [DEPTH]\n"
      "       ws_load broadcast HOST PORT PATH CONNECTIONS SIZE SECONDS [DEPTH]\n",
      stderr);
  return 2;
}
