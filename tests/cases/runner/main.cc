// tests/cases/runner/main.cc -- runs every case document of the folders given: each is fed whole,
// cut in two at every byte, byte by byte, and once more pausing at every event; all must say the
// same, and make the same messages and answers. Prints what failed and why the case is there, then
// `N passed, N failed`.
//
// With `--write <folder>` before the folders it only writes each document's bytes there, behind two
// bytes of zero: as the corpus of tests/fuzz/http_session_fuzz.cc has them.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/cases/runner/case_document.h"
#include "tests/cases/runner/http_recorder.h"
#include "tests/cases/runner/session_messages.h"

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

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

// Empty, or what of a document's messages is not so.
std::string compare_messages(const Recorded& said, const CaseDocument& document) {
  if (document.messages.empty()) return {};
  if (document.messages.size() != said.messages.size())
    return "made " + std::to_string(said.messages.size()) + " messages\n";
  for (size_t i = 0; i < said.messages.size(); ++i) {
    const std::vector<std::string> lines = message_lines(said.messages[i]);
    for (const std::string& wanted : document.messages[i]) {
      const bool none = wanted.starts_with("no ");
      const auto found = std::ranges::find_if(lines, [&](const std::string& line) {
        return none ? line.starts_with(wanted.substr(3)) : line == wanted;
      });
      if ((found != lines.end()) == none)
        return "message " + std::to_string(i + 1) + ": not so: " + wanted + '\n' + joined(lines);
    }
  }
  return {};
}

// Empty, or what went wrong.
std::string run(const CaseDocument& document) {
  auto say = [&](const Cut& cut) {
    return record(document.bytes, document.limits, document.switching, cut);
  };
  const Recorded whole = say({});
  if (!as_expected(whole.events, document.events)) return "said:\n" + whole.events;
  if (std::string different = compare_messages(whole, document); !different.empty())
    return different;
  if (!document.answers.empty() && document.answers != whole.answers)
    return "answered:\n" + joined(whole.answers);
  for (size_t split = 1; split < document.bytes.size(); ++split) {
    const Recorded cut = say({.split = split});
    if (cut != whole) return "cut at byte " + std::to_string(split) + " it said:\n" + cut.events;
  }
  for (const Cut& cut :
       {Cut{.step = 1}, Cut{.step = 7}, Cut{.pausing = true}, Cut{.step = 1, .pausing = true}}) {
    const Recorded other = say(cut);
    if (other != whole)
      return "in steps of " + std::to_string(cut.step) + (cut.pausing ? ", pausing," : "") +
             " it said:\n" + other.events;
  }
  return {};
}

CaseDocument read_document(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return parse_case({std::istreambuf_iterator<char>(file), {}});
}

std::string run_file(const std::filesystem::path& path) {
  try {
    const CaseDocument document = read_document(path);
    const std::string failure = run(document);
    return failure.empty() ? failure : "  why: " + document.why + '\n' + failure;
  } catch (const std::exception& error) {
    return std::string("  not a case document: ") + error.what() + '\n';
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool writes = argc > 2 && std::string_view(argv[1]) == "--write";
  std::vector<std::filesystem::path> paths;
  for (int i = writes ? 3 : 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i]))
      if (entry.path().extension() == ".case") paths.push_back(entry.path());
  std::ranges::sort(paths);
  if (writes) {
    for (const auto& path : paths)
      std::ofstream(std::filesystem::path(argv[2]) / path.stem(), std::ios::binary)
          << std::string(2, '\0') << read_document(path).bytes;
    return 0;
  }

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
