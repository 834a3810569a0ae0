"""tests/autobahn/test_index.py -- what tools/autobahn makes of a report of the Autobahn|Testsuite."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from autobahn.verdicts import MAY_BE_NON_STRICT, NUMBERS, ONLY_INFORM

TOOL = Path(__file__).resolve().parents[2] / "tools/autobahn"
GOOD = {number: ("INFORMATIONAL", "OK") if number in ONLY_INFORM else ("OK", "OK") for number in NUMBERS}


def judge(tmp_path, changed):
    """(exit code, lines) for a report in which these cases differ from a good one; None leaves one out."""
    verdicts = {number: both for number, both in {**GOOD, **changed}.items() if both}
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"sluice": {number: {"behavior": behavior, "behaviorClose": close, "duration": 1}
                                            for number, (behavior, close) in verdicts.items()}}))
    ran = subprocess.run([TOOL, index], capture_output=True, text=True, check=False, timeout=60)
    return ran.returncode, ran.stdout.splitlines()


@pytest.mark.parametrize("changed", [
    {},
    {number: ("NON-STRICT", "OK") for number in MAY_BE_NON_STRICT},
    {"7.13.1": ("INFORMATIONAL", "INFORMATIONAL")},
], ids=["all of it", "not strict where it may be", "a close that informs"])
def test_a_good_report_passes(tmp_path, changed):
    assert judge(tmp_path, changed) == (0, ["517 passed, 0 failed"])


@pytest.mark.parametrize("number,both,line", [
    ("1.1.1", ("FAILED", "OK"), "1.1.1: FAILED, its close OK"),
    ("9.1.6", ("OK", "FAILED BY CLIENT"), "9.1.6: OK, its close FAILED BY CLIENT"),
    ("2.1", ("OK", "UNCLEAN"), "2.1: OK, its close UNCLEAN"),
    ("6.4.1", ("NON-STRICT", "OK"), "6.4.1: NON-STRICT, its close OK"),
    ("3.2", ("OK", "NON-STRICT"), "3.2: OK, its close NON-STRICT"),
    ("5.1", ("INFORMATIONAL", "OK"), "5.1: INFORMATIONAL, its close OK"),
    ("12.1.1", ("UNIMPLEMENTED", "OK"), "12.1.1: UNIMPLEMENTED, its close OK"),
    ("13.7.18", None, "13.7.18: not played"),
])
def test_one_bad_case_fails_the_report(tmp_path, number, both, line):
    assert judge(tmp_path, {number: both}) == (1, [line, "516 passed, 1 failed"])


def test_a_case_of_another_version_of_the_suite_fails_the_report(tmp_path):
    assert judge(tmp_path, {"14.1": ("OK", "OK")}) == (1, ["14.1: no case we know", "517 passed, 1 failed"])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"a": {}, "b": {}}', '{"a": {"1.1.1": {}}}', '{"a": 1}'])
def test_what_is_no_report_is_one_line(tmp_path, text):
    (tmp_path / "index.json").write_text(text)

    ran = subprocess.run([TOOL, tmp_path / "index.json"], capture_output=True, text=True, check=False, timeout=60)

    assert ran.returncode == 1 and "is no report of one server" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_without_the_suite_one_line_says_what_to_install(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "WSTEST"}

    ran = subprocess.run([TOOL], capture_output=True, text=True, check=False, timeout=60,
                         env={**environment, "PATH": str(tmp_path)})

    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1 and "docker pull" in ran.stderr
