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
char* environment_text = nullptr;

}  // namespace

void keep_title_space(int argc, char** argv) {
  if (argc < 1) return;
  space = argv[0];
  char* end = space;
  for (int i = 0; i < argc; ++i) {
    if (argv[i] != end) break;  // not in one piece: use what is
    end = argv[i] + std::strlen(argv[i]) + 1;
  }
  size_t count = 0, bytes = 0;
  for (; environ[count] != nullptr; ++count) bytes += std::strlen(environ[count]) + 1;
  // The process's environment from now on, its texts in one piece: never freed, whatever is unset.
  auto* const moved = new char*[count + 1];
  environment_text = new char[bytes + 1];
  char* text = environment_text;
  for (size_t i = 0; i < count; ++i) {
    const size_t size = std::strlen(environ[i]) + 1;
    if (environ[i] == end) end += size;
    moved[i] = text;
    text = std::copy_n(environ[i], size, text);
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
