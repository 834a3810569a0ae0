// gateway/process_title.h -- what `ps` shows for this process.
#pragma once

#include <string>

namespace sluice {

// Finds the memory the title may use: the arguments and, behind them, the environment, which is
// moved elsewhere. Call first in main, once; argv may not be used after set_process_title().
void keep_title_space(int argc, char** argv);
// Cut to the space there is. Without keep_title_space() only the short name changes.
void set_process_title(const std::string& title) noexcept;

}  // namespace sluice
