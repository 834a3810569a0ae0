// tools/bench/shm/robust_ring.h -- a ring behind a robust process-shared mutex: survives the death of
// a process that holds it, and waits for one that is frozen there.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include "tools/bench/shm/message.h"
#include "tools/bench/shm/shared.h"

namespace sluice::bench {

class RobustRing {
 public:
  RobustRing() {
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0 ||
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) != 0 ||
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) != 0 ||
        pthread_mutex_init(&ring_->mutex, &attributes) != 0) {
      throw std::system_error(errno, std::generic_category(), "robust mutex");
    }
    pthread_mutexattr_destroy(&attributes);
  }

  RobustRing& sender(uint32_t) noexcept { return *this; }
  RobustRing& reader(uint32_t) noexcept { return *this; }

  bool try_send(const Message& message) noexcept {
    lock();
    const bool room = ring_->tail - ring_->head < kCapacity;
    if (room) {
      std::memcpy(&ring_->messages[ring_->tail % kCapacity], &message, sizeof message);
      ++ring_->tail;  // last: a death before it loses only the message that was being written
    }
    pthread_mutex_unlock(&ring_->mutex);
    return room;
  }

  bool try_receive(Message& message) noexcept {
    lock();
    const bool any = ring_->tail != ring_->head;
    if (any) {
      std::memcpy(&message, &ring_->messages[ring_->head % kCapacity], sizeof message);
      ++ring_->head;
    }
    pthread_mutex_unlock(&ring_->mutex);
    return any;
  }

 private:
  void lock() noexcept {
    if (pthread_mutex_lock(&ring_->mutex) == EOWNERDEAD) pthread_mutex_consistent(&ring_->mutex);
  }

  struct Ring {
    alignas(64) pthread_mutex_t mutex{};
    uint64_t tail = 0;
    uint64_t head = 0;
    alignas(64) std::array<Message, kCapacity> messages{};
  };
  Shared<Ring> ring_;
};

}  // namespace sluice::bench
