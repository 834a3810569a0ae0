// gateway/option_table.h -- every option: its name, unit, help, bounds, and how it is written.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/options.h"

namespace sluice {

struct OptionKey {
  std::string name;  // long words with dashes: --name, SLUICE_NAME, name = … in the file
  std::string unit;
  std::string help;
  // Reads all values given for the key in one source: one, or several where it may be repeated.
  // Throws std::invalid_argument that begins "must be".
  std::function<void(Options&, std::span<const std::string>)> set;
  // As it stands in a configuration file.
  std::function<std::string(const Options&)> show;
  bool repeatable = false;
  std::string implied = {};  // the value of an option given without one; empty: it needs one
};

[[nodiscard]] const std::vector<OptionKey>& option_table();

// The pieces between commas, where one text may hold several values.
[[nodiscard]] std::vector<std::string> split_list(std::string_view text);

}  // namespace sluice
