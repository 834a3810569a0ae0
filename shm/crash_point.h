// shm/crash_point.h -- a named place to die in tests; nothing at all in a normal build.
// tests/crash compiles the layer with SLUICE_CRASH_POINTS and kills the process at each name.
#pragma once

#ifdef SLUICE_CRASH_POINTS
namespace sluice::shm {
// Defined by the test: kills the calling process with SIGKILL when `name` is the chosen one.
void reached_crash_point(const char* name) noexcept;
}  // namespace sluice::shm
#define CRASH_POINT(name) ::sluice::shm::reached_crash_point(#name)
#else
#define CRASH_POINT(name) static_cast<void>(0)
#endif
