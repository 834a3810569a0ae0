// tools/bench/shm/other_queues.h -- the two rivals that others wrote: boost's message queue in shared
// memory, and the kernel's pair of sockets.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "shm/fd.h"
#include "tools/bench/shm/message.h"

namespace sluice::bench {

class BoostQueue {
 public:
  BoostQueue() {
    // Mapped: forked processes need the name no more.
    boost::interprocess::message_queue::remove(name_.c_str());
    // Its pages are there once every place of the queue was used.
    const Message message;
    for (uint32_t i = 0; i < kCapacity; ++i) try_send(message);
    for (Message taken; try_receive(taken);) {
    }
  }

  BoostQueue& sender(uint32_t) noexcept { return *this; }
  BoostQueue& reader(uint32_t) noexcept { return *this; }

  bool try_send(const Message& message) { return queue_.try_send(&message, sizeof message, 0); }
  bool try_receive(Message& message) {
    boost::interprocess::message_queue::size_type bytes = 0;
    unsigned priority = 0;
    return queue_.try_receive(&message, sizeof message, bytes, priority);
  }

 private:
  std::string name_ = "sluice-bench-" + std::to_string(getpid());
  boost::interprocess::message_queue queue_{boost::interprocess::create_only, name_.c_str(),
                                            kCapacity, kMessageBytes};
};

// Keeps the bounds of messages and may be read by several. How many it holds is the kernel's choice.
class SocketPair {
 public:
  SocketPair() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
      throw std::system_error(errno, std::generic_category(), "socket pair");
    }
    write_ = shm::Fd(ends[0]);
    read_ = shm::Fd(ends[1]);
  }

  SocketPair& sender(uint32_t) noexcept { return *this; }
  SocketPair& reader(uint32_t) noexcept { return *this; }

  bool try_send(const Message& message) noexcept {
    return send(write_.get(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
  }
  bool try_receive(Message& message) noexcept {
    return recv(read_.get(), &message, sizeof message, MSG_DONTWAIT) > 0;
  }

 private:
  shm::Fd write_;
  shm::Fd read_;
};

}  // namespace sluice::bench
