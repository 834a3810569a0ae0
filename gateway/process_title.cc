// gateway/process_title.cc -- writes over argv, as the kernel expects it of those who rename
// themselves: the space must begin where argv did, and be zeroed up to its end.
#include "gateway/process_title.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace sluice {
namespace {

char* space = nullptr;
size_t space_bytes = 0;

}  // namespace

void keep_title_space(int argc, char** argv) {
  if (argc < 1) return;
  space = argv[0];
  char* end = space;
  for (int i = 0; i < argc; ++i) {
    if (argv[i] != end) break;  // not in one piece: use what is
    end = argv[i] + std::strlen(argv[i]) + 1;
  }
  size_t count = 0;
  while (environ[count] != nullptr) ++count;
  auto* const moved = new char*[count + 1];  // the process's environment from now on: never freed
  for (size_t i = 0; i < count; ++i) {
    if (environ[i] == end) end += std::strlen(environ[i]) + 1;
    moved[i] = ::strdup(environ[i]);
  }
  moved[count] = nullptr;
  environ = moved;
  space_bytes = static_cast<size_t>(end - space);
}

void set_process_title(const std::string& title) noexcept {
  ::prctl(PR_SET_NAME, title.c_str());  // 15 characters; what `top` and `ps -e` show
  if (space_bytes == 0) return;
  std::memset(space, 0, space_bytes);
  std::memcpy(space, title.data(), std::min(title.size(), space_bytes - 1));
}

}  // namespace sluice
