// consumer/demo/process_title.h -- what `ps` shows for the demo.
#pragma once

#include <string_view>

namespace sluice::demo {

// Writes over argv, where `ps` looks. Nothing may use argv afterwards. At most as long as the
// arguments and the environment were together; the environment is moved first.
void set_process_title(int argc, char** argv, std::string_view title);

}  // namespace sluice::demo
