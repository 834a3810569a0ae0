"""consumer/demo/embed.py <file> <output> <name> -- a text file as a C++ header with one string_view."""

import sys

source, output, name = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    text = file.read()
with open(output, "w", encoding="utf-8") as file:
    file.write(f"// Made from {source.rsplit('/', 1)[-1]} by embed.py.\n#pragma once\n\n"
               "#include <string_view>\n\nnamespace sluice::demo {\n\n"
               f'inline constexpr std::string_view {name} = R"page({text})page";\n\n'
               "}  // namespace sluice::demo\n")
