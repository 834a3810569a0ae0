// gateway/workers.h -- the workers: forked, watched, started again, replaced one by one, ended.
//
// W1  A post is a worker's number and its listening sockets; processes come and go in it.
// W2  A worker that dies is followed by another on the same sockets, at once the first time, later
//     after gateway/back_off.h. Until that one accepts, a living worker accepts for it.
// W3  A worker is dead when its pidfd says so, never by its socket's hang-up.
// W4  Nothing here waits for a worker: what its socket does not take is kept and sent later.
// W5  A rolling restart gives a post its next process once the one before is gone: two at most have a row
//     at a time.
// W6  Rows of the dead are free only when consumers have let go of their blocks. A rolling restart leaves
//     the last free one to a worker that dies meanwhile: it begins a replacement where two are free. It waits
//     for them as long as a worker may take to leave, and stops then; the workers there are stay.
#pragma once

#include <uv.h>

#include <chrono>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "gateway/access_log_file.h"
#include "gateway/back_off.h"
#include "gateway/listener.h"
#include "gateway/loop.h"
#include "gateway/options.h"
#include "gateway/shared_memory.h"
#include "shm/attach.h"

namespace sluice {

class Workers {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_workers_ready() noexcept = 0;  // once: every post has a worker that accepts
    virtual void on_worker_dead(shm::ProcessName worker) noexcept = 0;
    virtual void on_workers_gone() noexcept = 0;    // after drain() or quit()
    virtual void on_workers_failed() noexcept = 0;  // they die before they were ever ready
    virtual void on_damage() noexcept = 0;          // a worker says the segment is beyond repair
    virtual void on_forked() noexcept = 0;  // in the child: let go of what is the master's alone
  };

  // All outlive us.
  Workers(uv_loop_t& loop, SharedMemory& memory, const Listeners& listeners,
          const AccessLogFile& access_log, const Options& options, Events& events);
  ~Workers();  // kills what is left
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void start() noexcept;
  // A new process in each post, one after the other; each old one drains once its successor
  // accepts (W5, W6). While it is under way: once more afterwards, however often it is asked for.
  // It ends by itself: a new worker that dies, or no row in time, stops it.
  void roll() noexcept;
  [[nodiscard]] bool rolling() const noexcept { return rolling_.has_value(); }
  // No new process from now on; on_workers_gone() follows. `how` is kDrain or kGiveUp.
  void drain(shm::AttachWord how) noexcept;
  void quit() noexcept;

  // Every worker learns of an arena, and of its end.
  void show_arena(shm::ProcessName owner) noexcept;
  void arena_gone(shm::ProcessName owner) noexcept;
  // The access log was opened anew.
  void show_access_log() noexcept;

 private:
  struct Process;
  struct Post {
    uint32_t number = 0;
    Process* current = nullptr;  // serves the post, or will as soon as it is ready
    Process* next = nullptr;     // will replace it (roll)
    Process* cover = nullptr;    // accepts for it while nobody serves it
    BackOff back_off;
    std::unique_ptr<Timer> restart;
  };

  [[nodiscard]] Process* fork_worker(Post& post, shm::ProcessName name) noexcept;
  [[noreturn]] void live_as_worker(const Process& process, shm::Fd master_socket) noexcept;
  void fill(Post& post) noexcept;

  void send(Process& process, shm::AttachWord word, uint32_t number = 0) noexcept;
  void send(Process& process, const shm::AttachPacket& packet) noexcept;
  [[nodiscard]] bool send_now(Process& process, const shm::AttachPacket& packet) noexcept;
  void send_kept(Process& process) noexcept;
  void on_packets(Process& process, int events) noexcept;
  void on_ready(Process& process) noexcept;
  void on_death(Process& process) noexcept;
  void tell_leave(Process& process, shm::AttachWord word) noexcept;

  void cover(Post& post) noexcept;
  void uncover(Post& post) noexcept;
  void stops_accepting(Process& process) noexcept;  // others cover what it covered
  void roll_on() noexcept;
  void wait_for_row() noexcept;
  void on_roll_late() noexcept;
  void stop_roll_timers() noexcept;
  void end_roll(const char* why_stopped) noexcept;  // nullptr: it was not
  [[nodiscard]] std::chrono::milliseconds time_to_leave() const noexcept;  // for a worker told to drain
  [[nodiscard]] static bool serves(const Process* process) noexcept;

  uv_loop_t& loop_;
  SharedMemory& memory_;
  const Listeners& listeners_;
  const AccessLogFile& access_log_;
  const Options& options_;
  Events& events_;
  std::vector<std::unique_ptr<Post>> posts_;
  std::list<std::unique_ptr<Process>> processes_;
  std::optional<size_t> rolling_;  // post being replaced
  bool roll_again_ = false;        // once that is done
  Timer roll_retry_;               // too few rows are free for it
  Timer roll_deadline_;            // until when they have to be
  bool was_ready_ = false;
  bool leaving_ = false;
  int early_deaths_ = 0;
};

}  // namespace sluice
