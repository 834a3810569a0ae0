// tests/cases/runner/main.cc -- runs every case document of the folders given: each is fed whole,
// cut in two at every byte, byte by byte, and once more pausing at every event; all must say the
// same. Prints what failed and why the case is there, then `N passed, N failed`.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cases/runner/case_document.h"
#include "tests/cases/runner/http_recorder.h"

namespace {

using namespace sluice::cases;

// Whether what was said is what the document expects; the reason of a refusal counts where it is
// given.
bool as_expected(const std::string& said, const std::vector<std::string>& expected) {
  std::istringstream in(said);
  size_t at = 0;
  for (std::string line; std::getline(in, line); ++at) {
    if (at == expected.size()) return false;
    const std::string& wanted = expected[at];
    const bool status_only = wanted.starts_with("refused ") && wanted.size() == 11;
    if (status_only ? line.substr(0, 11) != wanted : line != wanted) return false;
  }
  return at == expected.size();
}

// Empty, or what went wrong.
std::string run(const CaseDocument& document) {
  auto say = [&](const Cut& cut) {
    return record(document.bytes, document.limits, document.switching, cut);
  };
  const std::string whole = say({});
  if (!as_expected(whole, document.events)) return "said:\n" + whole;
  for (size_t split = 1; split < document.bytes.size(); ++split) {
    const std::string cut = say({.split = split});
    if (cut != whole) return "cut at byte " + std::to_string(split) + " it said:\n" + cut;
  }
  for (const Cut& cut :
       {Cut{.step = 1}, Cut{.step = 7}, Cut{.pausing = true}, Cut{.step = 1, .pausing = true}}) {
    const std::string other = say(cut);
    if (other != whole)
      return "in steps of " + std::to_string(cut.step) + (cut.pausing ? ", pausing," : "") +
             " it said:\n" + other;
  }
  return {};
}

std::string run_file(const std::filesystem::path& path) {
  try {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const CaseDocument document = parse_case(text);
    const std::string failure = run(document);
    return failure.empty() ? failure : "  why: " + document.why + '\n' + failure;
  } catch (const std::exception& error) {
    return std::string("  not a case document: ") + error.what() + '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> paths;
  for (int i = 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i]))
      if (entry.path().extension() == ".case") paths.push_back(entry.path());
  std::ranges::sort(paths);

  int passed = 0, failed = 0;
  for (const auto& path : paths) {
    const std::string failure = run_file(path);
    if (failure.empty()) {
      ++passed;
      continue;
    }
    ++failed;
    std::printf("failed: %s\n%s\n", path.filename().c_str(), failure.c_str());
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
