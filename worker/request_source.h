// worker/request_source.h -- who asked whom, as a request's message says it: the two ends of its
// connection or, where a trusted proxy sent it, what that says in the request's head.
#pragma once

#include "worker/http_session.h"
#include "worker/request_message.h"
#include "worker/request_target.h"
#include "worker/workplace.h"

namespace sluice {

// Costs a test of a bit where no trusted proxy is the other end. Views point into all three, and into
// place.client_text: they are good until the next call.
[[nodiscard]] RequestSource source_of(Workplace& place, const Endpoints& ends,
                                      const RequestHead& head) noexcept;

// The host and port a client asked for: Host, or what a trusted proxy says in its place. Views point
// into the head.
[[nodiscard]] HostPort asked_host(const Workplace& place, const Endpoints& ends,
                                  const RequestHead& head) noexcept;

}  // namespace sluice
