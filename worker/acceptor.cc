// worker/acceptor.cc -- see acceptor.h.
#include "worker/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "protocol/limits.h"
#include "worker/log.h"

namespace sluice {
namespace {

shm::Fd keep_one_back() noexcept { return shm::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

struct Acceptor::Polled {
  uv_poll_t poll;
  shm::Fd fd;
  Acceptor* acceptor;  // null once stopped
};

bool Acceptor::start() noexcept {
  if (polled_ != nullptr) return true;
  place_.deadlines.clear(*this);  // no rest of an earlier time
  const auto failed = [this](const char* why) {
    log_event(LogLevel::kError, "listener_not_polled", {{"fd", listener_.fd}, {"why", why}});
    return false;
  };
  shm::Fd fd(::fcntl(listener_.fd, F_DUPFD_CLOEXEC, 3));  // A1
  if (!fd) return failed(std::strerror(errno));
  auto polled = std::make_unique<Polled>();
  int result = uv_poll_init(&place_.loop, &polled->poll, fd.get());  // makes it non-blocking
  if (result != 0) return failed(uv_strerror(result));
  polled->fd = std::move(fd);
  polled->acceptor = this;
  polled_ = polled.release();
  polled_->poll.data = polled_;
  result = poll();
  if (result != 0) {
    stop();
    return failed(uv_strerror(result));
  }
  // Accepted sockets inherit it: one call for all of them.
  const int on = 1;
  if (!listener_.unix_socket) {
    ::setsockopt(listener_.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (!kept_back_) kept_back_ = keep_one_back();
  return true;
}

int Acceptor::poll() noexcept {
  return uv_poll_start(&polled_->poll, UV_READABLE, [](uv_poll_t* poll, int, int) {
    if (Acceptor* acceptor = static_cast<Polled*>(poll->data)->acceptor) acceptor->accept();
  });
}

// Nothing: errno says why.
shm::Fd Acceptor::accept_one(sockaddr_storage& name) noexcept {
  socklen_t size = sizeof name;
  return shm::Fd(::accept4(polled_->fd.get(), reinterpret_cast<sockaddr*>(&name), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC));
}

void Acceptor::accept() noexcept {
  for (uint32_t i = 0; i < limits::kAcceptedPerTurn && polled_ != nullptr; ++i) {
    sockaddr_storage name{};
    shm::Fd client = accept_one(name);
    if (client) {
      connections_.accept(std::move(client), name, listener_);
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return;  // nobody waits
      case EMFILE:
      case ENFILE:
        if (!shed_one()) rest();
        return;
      case ENOBUFS:
      case ENOMEM:
        return rest();
      default:
        break;  // EINTR, or that client's own trouble (accept(2)): the next one
    }
  }
}

// A3. False: not even this one could be accepted.
bool Acceptor::shed_one() noexcept {
  kept_back_.reset();
  sockaddr_storage name{};
  shm::Fd client = accept_one(name);
  const bool used_up = !client && (errno == EMFILE || errno == ENFILE);
  if (client) connections_.turn_away(std::move(client), name);
  kept_back_ = keep_one_back();
  return !used_up;
}

// A4
void Acceptor::rest() noexcept {
  uv_poll_stop(&polled_->poll);
  place_.tell_time();
  const auto pause = std::chrono::milliseconds(limits::kAcceptPause);
  place_.deadlines.set(*this, place_.now_ms + static_cast<uint64_t>(pause.count()));
}

void Acceptor::on_deadline(uint64_t) noexcept {
  if (polled_ == nullptr) return;
  if (!kept_back_) kept_back_ = keep_one_back();
  if (poll() != 0) rest();  // never seen to fail
}

void Acceptor::stop() noexcept {
  if (polled_ == nullptr) return;
  place_.deadlines.clear(*this);
  polled_->acceptor = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&polled_->poll), [](uv_handle_t* handle) {
    delete static_cast<Polled*>(handle->data);
  });
  polled_->fd.reset();
  polled_ = nullptr;
}

}  // namespace sluice
