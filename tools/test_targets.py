#!/usr/bin/python3
"""tools/test_targets.py <build folder> <suite>… -- what the tests of these suites need built, a line each."""

import json
import os
import subprocess
import sys


def introspect(build, what):
    """What meson knows of a configured folder."""
    run = subprocess.run(["meson", "introspect", what, build], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def main(build, *suites):
    """Prints the targets, relative to the build folder."""
    needed = set()
    for test in introspect(build, "--tests"):
        if {suite.rpartition(":")[2] for suite in test["suite"]} & set(suites):
            needed |= set(test["depends"])
    for target in introspect(build, "--targets"):
        if target["id"] in needed:
            for name in target["filename"]:
                print(os.path.relpath(name, build))


if __name__ == "__main__":
    main(*sys.argv[1:])
