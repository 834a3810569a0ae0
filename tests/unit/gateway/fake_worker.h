// tests/unit/gateway/fake_worker.h -- what the stand-in for the worker's life did, and is to do:
// words in memory that the test and its forked workers share.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace sluice::tests {

class FakeWorkers {
 public:
  FakeWorkers();  // nothing done, nothing to do

  // -- what worker `number` did
  [[nodiscard]] pid_t pid(uint32_t number) const;   // the last one that accepts
  [[nodiscard]] int starts(uint32_t number) const;  // that came to accept
  [[nodiscard]] bool ok(uint32_t number) const;     // found all it must have, and nothing else open
  [[nodiscard]] bool attached(uint32_t number) const;         // was told that it may accept
  [[nodiscard]] bool sealed_by_then(uint32_t number) const;   // nobody could map its arena for writing any more
  [[nodiscard]] bool drained(uint32_t number) const;          // was told to
  [[nodiscard]] bool replaced(uint32_t number) const;         // was told to leave its place to another
  [[nodiscard]] int last_accept_from(uint32_t number) const;  // -1: never told
  [[nodiscard]] int last_stop_accept_from(uint32_t number) const;
  [[nodiscard]] int arenas_seen(uint32_t number) const;
  [[nodiscard]] int access_logs_seen(uint32_t number) const;  // after the one it was started with

  // -- what workers are to do from now on
  void hold_starts(bool on);
  void die_at_start(bool on);
  void ignore_orders(bool on);
};

}  // namespace sluice::tests
