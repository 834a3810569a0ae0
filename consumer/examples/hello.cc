// consumer/examples/hello.cc -- the smallest consumer: answers every request with one line.
//   hello <control socket>
#include <iostream>

#include "consumer/consumer.h"

int main(int argc, char** argv) {
  auto consumer = sluice::Consumer::attach(argc > 1 ? argv[1] : "", {"http.request"});
  if (!consumer) std::cerr << sluice::describe(consumer.error()) << '\n';
  while (consumer) {
    auto message = consumer->receive();
    if (!message) break;  // the gateway is gone
    auto sent = consumer->reply(*message, {{"status_code", 200}, {"content", "Hello\n"}});
    if (!sent) std::cerr << sluice::describe(sent.error()) << '\n';
  }
  return consumer ? 0 : 1;
}
