// consumer/demo/main.cc -- sluice-demo <control socket>: attaches, serves, leaves on TERM or INT.
//
// Exit codes: 0 left when asked or when the gateway went; 1 could not attach; 2 wrong arguments.
#include <signal.h>

#include <cstdio>
#include <string>

#include "consumer/demo/demo.h"
#include "consumer/demo/process_title.h"

namespace {

sluice::demo::Demo* served = nullptr;  // by main, while its signals can come

void on_signal(int) { served->leave(); }

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
  auto consumer = sluice::Consumer::attach(argv[1], {});
  if (!consumer.ok()) {
    const std::string_view why = sluice::describe(consumer.error());
    std::fprintf(stderr, "sluice-demo: cannot attach to %s: %.*s\n", argv[1],
                 static_cast<int>(why.size()), why.data());
    return 1;
  }
  sluice::demo::set_process_title(argc, argv,
                                  "sluice: demo consumer " + std::to_string(consumer->number()));

  sluice::demo::Demo demo(*consumer);
  served = &demo;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  sigprocmask(SIG_UNBLOCK, &ends, nullptr);
  demo.run();
  sigprocmask(SIG_BLOCK, &ends, nullptr);  // the demo ends before the process
  return 0;
}
