// tests/support/segment_fixture.h -- a small control segment for tests of the shared-memory folder.
#pragma once

#include "shm/segment.h"

namespace sluice::tests {

// Two worker rows, four consumer rows, queues short enough to fill by hand. The blocks are few, but
// a chain of the longest message fits in a worker's arena, and in a consumer's.
inline shm::Geometry small_geometry() {
  shm::Geometry geometry{};
  geometry.processes = 8;
  geometry.worker_processes = 2;
  geometry.connections_per_worker = 128;
  geometry.channels = 16;
  geometry.channel_cells = 64;
  geometry.inbox_cells = 16;
  geometry.groups = 4;
  geometry.group_expiry_ms = 60'000;
  geometry.worker_blocks = {256, 16, 16, 16, 16, 16, 16, 20};
  geometry.other_blocks = {256, 8, 8, 8, 8, 8, 8, 20};
  return geometry;
}

}  // namespace sluice::tests
