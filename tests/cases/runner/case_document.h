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
//   message:                                                  (optional, of each in order)
//   META.HTTP_HOST example.org
//   no headers x-
//   answer:                                                   (optional, of each in order)
//   HTTP/1.1 400 Bad Request\r\n
//
// Lines of `bytes` are joined without their ends; \r \n \t \0 \\ \xHH stand for bytes, \{N*text}
// for N times text. Lines of `events` are those of record(), indented at will; what is behind the
// status of `refused` may be left out. A `message` is lines of message_lines(), any of them; `no X`
// says that none begins with X. An `answer` is written like bytes, without its Date. A document that
// has one of them has all of its kind. A line that begins with '#' is a comment, in `bytes` too.
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
  std::vector<std::vector<std::string>> messages;
  std::vector<std::string> answers;
};

// Throws std::runtime_error that says what is wrong with the document.
[[nodiscard]] CaseDocument parse_case(const std::string& text);

}  // namespace sluice::cases
