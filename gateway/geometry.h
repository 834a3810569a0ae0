// gateway/geometry.h -- how large the shared memory is made, from the options.
#pragma once

#include "gateway/options.h"
#include "shm/layout.h"

namespace sluice {

// Untouched pages cost nothing, so what is rarely needed is sized for the worst day. Always valid()
// for options within their bounds.
[[nodiscard]] shm::Geometry geometry_for(const Options& options) noexcept;

}  // namespace sluice
