// worker/acceptor.cc -- see acceptor.h.
#include "worker/acceptor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "worker/log.h"

namespace sluice {

struct Acceptor::Polled {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  };
  Acceptor* acceptor;  // null once stopped
};

bool Acceptor::start() noexcept {
  if (polled_ != nullptr) return true;
  const int fd = ::fcntl(listener_.fd, F_DUPFD_CLOEXEC, 3);  // A1
  if (fd < 0) {
    log_event(LogLevel::kError, "listener_not_polled", {{"fd", listener_.fd}, {"why", std::strerror(errno)}});
    return false;
  }
  polled_ = new Polled{};
  polled_->acceptor = this;
  int result = 0;
  if (listener_.unix_socket) {
    uv_pipe_init(&loop_, &polled_->pipe, 0);
    result = uv_pipe_open(&polled_->pipe, fd);
  } else {
    uv_tcp_init(&loop_, &polled_->tcp);
    result = uv_tcp_open(&polled_->tcp, fd);
    // Accepted sockets inherit it: one call for all of them.
    if (result == 0) uv_tcp_nodelay(&polled_->tcp, 1);
  }
  polled_->handle.data = polled_;
  if (result != 0) {
    ::close(fd);
  } else {
    result = uv_listen(&polled_->stream, SOMAXCONN, [](uv_stream_t* stream, int status) {
      Acceptor* acceptor = static_cast<Polled*>(stream->data)->acceptor;
      if (status == 0 && acceptor != nullptr) {
        acceptor->connections_.accept(stream, acceptor->listener_);
      }
    });
  }
  if (result == 0) return true;
  log_event(LogLevel::kError, "listener_not_polled", {{"fd", listener_.fd}, {"why", uv_strerror(result)}});
  stop();
  return false;
}

void Acceptor::stop() noexcept {
  if (polled_ == nullptr) return;
  polled_->acceptor = nullptr;
  uv_close(&polled_->handle, [](uv_handle_t* handle) { delete static_cast<Polled*>(handle->data); });
  polled_ = nullptr;
}

}  // namespace sluice
