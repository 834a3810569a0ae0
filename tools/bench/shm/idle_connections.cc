// tools/bench/shm/idle_connections.cc -- what connections that say nothing take of the segment: the
// pages that are there after a worker opened them, less those that were there before.
#include <sys/stat.h>

#include <stdexcept>

#include "tools/bench/shm/layer_queue.h"
#include "tools/bench/shm/measurements.h"

namespace sluice::bench {
namespace {

double bytes_there(const shm::Segment& segment) {
  struct stat status {};
  if (fstat(segment.memfd(), &status) != 0) {
    throw std::system_error(errno, std::generic_category(), "size of the segment");
  }
  return static_cast<double>(status.st_blocks) *
         512;  // st_blocks counts 512 bytes whatever the page
}

}  // namespace

Figures idle_connections(const Effort& effort) {
  shm::Geometry geometry = bench_geometry();
  geometry.connections_per_worker = (effort.connections + 63) / 64 * 64;
  tests::World world(geometry);
  shm::ConnectionSlots slots(world.segment(), world.join(shm::Role::kWorker));
  const double before = bytes_there(world.segment());
  for (uint32_t i = 0; i < effort.connections; ++i) {
    const auto opened = slots.open();
    if (!opened) throw std::runtime_error("no slot for a connection");
    slots.set_ready(opened->slot);  // so that the bitmap's pages count
  }
  return {{"bytes", bytes_there(world.segment()) - before}};
}

}  // namespace sluice::bench
