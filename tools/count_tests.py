#!/usr/bin/python3
"""tools/count_tests.py <testlog.json> -- counts test cases in the log of `meson test`.

A test program says how many cases it ran: doctest and pytest in their summaries, others in a line
`N passed, N failed`. One that says nothing is one case. One that ends badly counts at least one
failure, whatever it said; a skipped case counts as failed, because there are none that may be skipped.
Prints a line for each program that failed and, marked with `| `, the end of what it printed; then
`N passed, N failed`; exits 1 when any failed.
"""

import json
import re
import sys

DOCTEST = re.compile(r"\[doctest\] test cases: +\d+ \| +(\d+) passed \| +(\d+) failed")
PYTEST_LINE = re.compile(r"^=* ?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.MULTILINE)
PYTEST_PART = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)")
PLAIN = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINES_SHOWN = 60


def cases_in(output):
    """(passed, failed) as the program itself says, or None when it says nothing."""
    output = COLOUR.sub("", output)
    passed = failed = 0
    found = False
    for match in [*DOCTEST.finditer(output), *PLAIN.finditer(output)]:
        passed, failed, found = passed + int(match[1]), failed + int(match[2]), True
    for line in PYTEST_LINE.finditer(output):
        found = True
        for number, word in PYTEST_PART.findall(line[1]):
            if word == "passed":
                passed += int(number)
            else:
                failed += int(number)
    return (passed, failed) if found else None


def end_of(output):
    """The last lines of what a program printed, each marked."""
    return "\n".join("| " + line for line in COLOUR.sub("", output).splitlines()[-LINES_SHOWN:])


def count(test):
    """(passed, failed) of one entry of the log."""
    good = test["result"] == "OK"
    said = cases_in(test.get("stdout", "") + "\n" + test.get("stderr", ""))
    if said is None:
        return (1, 0) if good else (0, 1)
    passed, failed = said
    return (passed, failed) if good else (passed, max(failed, 1))


def main():
    passed = failed = 0
    try:
        with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
            tests = [json.loads(line) for line in log if line.strip()]
    except OSError as error:
        print(f"tools/count_tests.py: no test ran: {error}", file=sys.stderr)
        tests = []
        failed = 1
    for test in tests:
        good, bad = count(test)
        passed, failed = passed + good, failed + bad
        if bad:
            print(f"failed: {test['name']}: {bad} of {good + bad}, {test['result'].lower()} "
                  f"after {test['duration']:.1f} s")
            print(end_of(test.get("stdout", "") + "\n" + test.get("stderr", "")))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
