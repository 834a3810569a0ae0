// consumer/demo/process_title.cc -- see process_title.h.
#include "consumer/demo/process_title.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace sluice::demo {

void set_process_title(int argc, char** argv, std::string_view title) {
  if (argc < 1) return;
  char* const start = argv[0];
  char* end = start;
  for (int i = 0; i < argc && argv[i] == end; ++i) end += std::strlen(argv[i]) + 1;
  size_t count = 0;
  while (environ[count] != nullptr) ++count;
  auto* const moved = new char*[count + 1];  // the environment from now on: never freed
  for (size_t i = 0; i < count; ++i) {
    if (environ[i] == end) end += std::strlen(environ[i]) + 1;
    moved[i] = ::strdup(environ[i]);
  }
  moved[count] = nullptr;
  environ = moved;
  const auto room = static_cast<size_t>(end - start);
  std::memset(start, 0, room);
  std::memcpy(start, title.data(), std::min(title.size(), room - 1));
}

}  // namespace sluice::demo
