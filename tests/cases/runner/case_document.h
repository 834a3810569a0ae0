// tests/cases/runner/case_document.h -- a case: why it is there, the raw bytes, what must come of
// them.
//
//   why: one sentence, or more lines of it
//   limits: head=16384 line=8192 headers=100 body=8388608     (optional; any of them)
//   switch: websocket                                         (optional; see record())
//   bytes:
//   GET / HTTP/1.1\r\n
//   Host: \{100*a}\r\n
//   events:
//   refused 400
//
// Lines of `bytes` are joined without their ends; \r \n \t \0 \\ \xHH stand for bytes, \{N*text}
// for N times text. Lines of `events` are those of record(), indented at will; what is behind the
// status of `refused` may be left out. A line that begins with '#' is a comment, in `bytes` too.
#pragma once

#include <string>
#include <vector>

#include "worker/http_session.h"

namespace sluice::cases {

struct CaseDocument {
  std::string why;
  HttpLimits limits{};
  bool switching = false;
  std::string bytes;
  std::vector<std::string> events;  // escaped as record() does
};

// Throws std::runtime_error that says what is wrong with the document.
[[nodiscard]] CaseDocument parse_case(const std::string& text);

}  // namespace sluice::cases
