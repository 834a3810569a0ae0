// worker/socket.cc -- see socket.h.
#include "worker/socket.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace sluice {

bool Socket::open(uv_loop_t& loop, shm::Fd fd, Listener& listener) noexcept {
  if (uv_poll_init(&loop, &poll_, fd.get()) != 0) return false;
  fd_ = std::move(fd);
  poll_.data = this;
  listener_ = &listener;
  wanted_ = 0;
  failed_ = ended_ = false;
  return true;
}

void Socket::want(bool readable, bool writable) noexcept {
  const auto wanted =
      static_cast<uint8_t>((readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0));
  if (wanted == wanted_) return;
  wanted_ = wanted;
  // K4: libuv polls for something or not at all, and tells of errors and hang-ups beside it. Urgent
  // bytes are what no honest client sends.
  const int polled = wanted != 0 ? int{wanted} : int{UV_PRIORITIZED};
  // Fails only for a handle that is closing, or whose descriptor somebody else polls.
  uv_poll_start(&poll_, polled, [](uv_poll_t* poll, int status, int events) {
    static_cast<Socket*>(poll->data)->on_poll(status, events);
  });
}

void Socket::on_poll(int status, int events) noexcept {
  if (status < 0) {  // an error stands on the socket, and libuv has stopped polling it
    failed_ = true;
    const bool reads = (std::exchange(wanted_, uint8_t{0}) & UV_READABLE) != 0;
    if (!reads) return listener_->on_broken();
    want(true, false);
    return listener_->on_readable();  // K3
  }
  if (wanted_ == 0) return on_hint();
  if ((events & UV_WRITABLE) != 0) listener_->on_writable();
  // Asked again: who was told of room may have stopped reading, or closed.
  if ((events & wanted_ & UV_READABLE) != 0) listener_->on_readable();
}

// K4. An end that is still to be read is none yet; it and urgent bytes would be told again and again.
void Socket::on_hint() noexcept {
  pollfd look{.fd = fd_.get(), .events = 0, .revents = 0};
  ::poll(&look, 1, 0);
  if ((look.revents & POLLERR) != 0 || ((look.revents & POLLHUP) != 0 && ended_)) {
    failed_ = true;
    return listener_->on_broken();
  }
  uv_poll_stop(&poll_);  // until something is wanted
}

Socket::Heard Socket::receive(std::span<char> into, size_t& size) noexcept {
  ssize_t got = -1;
  do {
    got = ::recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  size = got > 0 ? static_cast<size_t>(got) : 0;
  if (got > 0) return Heard::kBytes;
  if (got == 0) {
    ended_ = true;
    return Heard::kEnd;
  }
  const bool nothing = !failed_ && (errno == EAGAIN || errno == EWOULDBLOCK);
  return nothing ? Heard::kNothing : Heard::kBroken;
}

ssize_t Socket::send(std::span<const Bytes> pieces) noexcept {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  std::array<iovec, kMostPieces> vectors;
  size_t used = 0;
  for (const Bytes piece : pieces.first(std::min(pieces.size(), kMostPieces))) {
    if (piece.empty()) continue;
    vectors[used++] = {const_cast<std::byte*>(piece.data()), piece.size()};
  }
  if (used == 0) return 0;
  ssize_t sent = -1;
  do {
    if (used == 1) {  // most answers: the shorter way through the kernel
      sent = ::send(fd_.get(), vectors[0].iov_base, vectors[0].iov_len, kFlags);
    } else {
      msghdr message{};
      message.msg_iov = vectors.data();
      message.msg_iovlen = used;
      sent = ::sendmsg(fd_.get(), &message, kFlags);
    }
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
}

size_t Socket::unacknowledged() const noexcept {
  int bytes = 0;
  return ::ioctl(fd_.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

bool Socket::end_sending() noexcept { return ::shutdown(fd_.get(), SHUT_WR) == 0; }

void Socket::close(bool with_reset) noexcept {
  wanted_ = 0;
  if (with_reset) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);  // a unix socket has no resets
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    static_cast<Socket*>(handle->data)->listener_->on_socket_closed();
  });
  fd_.reset();  // libuv polls it no more
}

sockaddr_storage Socket::own_address() const noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return address;
}

}  // namespace sluice
