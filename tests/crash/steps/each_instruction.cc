// tests/crash/steps/each_instruction.cc -- kills, freezes, and lets the others go on.
#include "tests/crash/steps/each_instruction.h"

#include <doctest/doctest.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "tests/crash/steps/one_step_calls.h"
#include "tests/crash/steps/shared_image.h"
#include "tests/crash/steps/stepped_process.h"

namespace sluice::tests {
namespace {

constexpr uint32_t kFailures = 5;        // of one scene; then it is over
constexpr size_t kHeapRoom = 6 << 20;    // bytes: a gathered chain and more
constexpr unsigned kAlarmSeconds = 120;  // for what takes milliseconds: nobody may hang

// A stack grows when it is first used that deep: before the first step, not in one.
[[gnu::noinline]] void reach_down_the_stack() {
  volatile char deep[256 * 1024];
  for (size_t at = 0; at < sizeof deep; at += 1024) deep[at] = 0;
}

// One processor for all of a scene's processes: they take turns, and a step costs no wake-up elsewhere. It
// is one that no other program of these tests is on, while there are enough: a name of a socket, which is
// bound once, says whose it is as long as we live.
void stay_on_one_processor() {
  static const int chosen = [] {
    cpu_set_t ours;
    if (sched_getaffinity(0, sizeof ours, &ours) != 0) return sched_getcpu();
    for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
      if (!CPU_ISSET(processor, &ours)) continue;
      sockaddr_un name{};
      name.sun_family = AF_UNIX;
      std::snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "sluice steps on processor %d", processor);
      shm::Fd mark(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      if (bind(mark.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) continue;
      static const shm::Fd kept = std::move(mark);
      return processor;
    }
    return sched_getcpu();
  }();
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(chosen, &here);
  static_cast<void>(sched_setaffinity(0, sizeof here, &here));
}

class Trial {
 public:
  explicit Trial(const Scene& scene) : scene_(scene), stage_(scene.victim) {
    void* memory = mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    report_ = new (memory) Report{};
    scene.set(stage_);
    malloc_trim(0);  // what is free is not copied with every copy
    std::shared_ptr<Member> me;
    Report mine;  // the victim's own, so that a copy has one
    victim_ = std::make_unique<SteppedProcess>(
        [&] {
          reach_down_the_stack();
          void* volatile room = std::malloc(kHeapRoom);
          std::free(room);  // stays in the heap
          me = std::make_shared<Member>(stage_.world, stage_.victim);
          for (const Member* each : {&stage_.worker, &stage_.reader}) {  // maps their arenas
            static_cast<void>(me->arenas.payload(stage_.segment.block_at(each->layer.me().index, 0, 0)));
          }
          scene.ready(stage_, *me);
        },
        [&] { scene.operate(stage_, *me, mine); },
        [&] {
          scene.tell(stage_, *me, mine);
          *report_ = mine;
        });
    scene.then(stage_);
    image_ = std::make_unique<SharedImage>(
        stage_.world, std::vector<int>{stage_.worker.bell.poll_fd(), stage_.reader.bell.poll_fd(),
                                       stage_.master.bell.poll_fd()});
    start_.emplace(stage_.moment());
  }
  ~Trial() { munmap(report_, sizeof(Report)); }

  Tried run() {
    bool over = false;
    for (bool first = true; tried_.failures < kFailures; first = false) {
      if (first || image_->differs()) {
        image_->take();
        try_kill(true);
        try_kill(false);
      }
      try_freeze();
      if (over) break;
      ++tried_.instructions;
      over = !victim_->step();
      if (victim_->broken()) {
        note_failure("stepped", "ends badly");
        break;
      }
    }
    return tried_;
  }

 private:
  void try_kill(bool seen_at_once) {
    ++tried_.kills;
    { const SteppedProcess::Copy killed(*victim_); }
    let_live(seen_at_once ? "killed" : "killed, unseen", [&] {
      if (!seen_at_once) stage_.carry_on();
      scene_.before_recovery(stage_);
      stage_.bury(stage_.victim);
      scene_.after_recovery(stage_);
      stage_.carry_on();
      stage_.account();
    });
  }

  void try_freeze() {
    ++tried_.freezes;
    const SteppedProcess::Copy frozen(*victim_);
    *report_ = Report{};
    let_live("frozen", [&] {
      stage_.carry_on();
      scene_.meanwhile(stage_);
      Stage::expect(frozen.finish(), "does not come to its end");
      stage_.count(*report_);
      scene_.judge(stage_, *report_);
      stage_.carry_on();
      stage_.bury(stage_.victim);  // it does nothing any more
      stage_.account();
    });
  }

  // The living, from this moment on; then everything is as it was again.
  void let_live(const char* what, const std::function<void()>& go_on) {
    alarm(kAlarmSeconds);
    try {
      go_on();
    } catch (const Broken& broken) {
      note_failure(what, broken.what);
    }
    alarm(0);
    stage_.put_back(*start_);
    image_->put_back();
  }

  void note_failure(const char* what, const std::string& why) {
    ++tried_.failures;
    const std::string place = victim_->broken() ? "somewhere" : victim_->place();
    std::fprintf(stderr, "%s: %s before instruction %u, in %s: %s\n", scene_.name.c_str(), what, tried_.instructions,
                 place.c_str(), why.c_str());
  }

  const Scene& scene_;
  Stage stage_;
  Report* report_ = nullptr;
  std::unique_ptr<SteppedProcess> victim_;
  std::unique_ptr<SharedImage> image_;
  std::optional<Stage::Moment> start_;
  Tried tried_;
};

}  // namespace

Tried at_each_instruction(const Scene& scene) {
  // One heap, large enough: it is not given back and asked for again in every trial.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 8 << 20);
  stay_on_one_processor();
  stop_clock();
  return Trial(scene).run();
}

void try_all(const std::vector<Scene>& scenes) {
  for (const Scene& scene : scenes) {
    CAPTURE(scene.name);
    const std::clock_t start = std::clock();
    const Tried tried = at_each_instruction(scene);
    std::printf("%s: %u instructions, %u kills, %u freezes, %.1f s\n", scene.name.c_str(), tried.instructions,
                tried.kills, tried.freezes, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    std::fflush(stdout);
    CHECK(tried.failures == 0);
    CHECK(tried.instructions > 30);
    CHECK(tried.kills > 2);  // an operation that changes nothing is none
  }
}

}  // namespace sluice::tests
