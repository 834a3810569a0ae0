// consumer/demo/main.cc -- sluice-demo <control socket>: attaches, serves, leaves on TERM or INT.
//
// When the gateway hangs up it attaches again, for as long as somebody listens there: a gateway that
// replaces its segment does. What was taken before is finished meanwhile, in a thread of its own.
//
// Exit codes: 0 left when asked or when the gateway went; 1 could not attach; 2 wrong arguments.
#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "consumer/demo/demo.h"
#include "consumer/demo/process_title.h"

namespace {

using sluice::Consumer;
using sluice::Result;
using sluice::demo::Demo;

constexpr long kAttachEveryNs = 20'000'000;
constexpr int kAttachTries = 100;  // about two seconds: a gateway started anew is there by then

// One attachment and what serves it.
struct Service {
  explicit Service(Consumer attached) : consumer(std::move(attached)), demo(consumer) {}
  Consumer consumer;
  Demo demo;
};

std::atomic<Demo*> served = nullptr;  // set while its signals cannot come
static_assert(std::atomic<Demo*>::is_always_lock_free);  // a signal handler reads it

void on_signal(int) { served.load(std::memory_order::relaxed)->leave(); }  // set in our thread

// Kept by main: its thread is over, at the latest, a few seconds after it began.
struct Finishing {
  explicit Finishing(std::unique_ptr<Service> left)
      : service(std::move(left)), thread([this] {
          service->demo.finish();
          service.reset();
          over.store(true, std::memory_order::release);  // [F]
        }) {}
  ~Finishing() { thread.join(); }
  std::unique_ptr<Service> service;
  std::atomic<bool> over = false;
  std::thread thread;  // last: it uses the others
};

// Attaches again. Nothing when nobody listens any more, or one of `ends` came.
std::unique_ptr<Service> attach_again(const char* path, const sigset_t& ends) {
  for (int tries = 0; tries < kAttachTries; ++tries) {
    auto consumer = Consumer::attach(path, {});
    if (consumer.ok()) return std::make_unique<Service>(std::move(*consumer));
    const timespec pause{.tv_sec = 0, .tv_nsec = kAttachEveryNs};
    if (sigtimedwait(&ends, nullptr, &pause) > 0) return nullptr;
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] == '-') {
    std::fprintf(stderr, "usage: sluice-demo <control socket of a running sluice>\n");
    return 2;
  }
  // Held back until there is a demo to tell.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const std::string path = argv[1];  // before the title is written over it
  auto consumer = Consumer::attach(path, {});
  if (!consumer.ok()) {
    const std::string_view why = sluice::describe(consumer.error());
    std::fprintf(stderr, "sluice-demo: cannot attach to %s: %.*s\n", path.c_str(),
                 static_cast<int>(why.size()), why.data());
    return 1;
  }
  sluice::demo::set_process_title(argc, argv,
                                  "sluice: demo consumer " + std::to_string(consumer->number()));
  auto service = std::make_unique<Service>(std::move(*consumer));
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);

  std::list<Finishing> finishing;
  while (service != nullptr) {
    served.store(&service->demo, std::memory_order::relaxed);
    sigprocmask(SIG_UNBLOCK, &ends, nullptr);
    const bool asked = service->demo.run();
    sigprocmask(SIG_BLOCK, &ends, nullptr);  // a demo ends before the process does
    if (asked) break;
    finishing.remove_if([](const Finishing& each) {
      return each.over.load(std::memory_order::acquire);  // [F] pairs with [F]
    });
    finishing.emplace_back(std::move(service));
    service = attach_again(path.c_str(), ends);
  }
  return 0;
}
