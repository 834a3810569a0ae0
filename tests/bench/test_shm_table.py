"""tests/bench/test_shm_table.py -- `tools/dev bench shm` still takes every figure."""

import os
import subprocess
from pathlib import Path

TABLE = Path(__file__).resolve().parents[2] / "tools/bench/shm_table.py"
SMALL = ["--rounds", "1", "--messages", "4000", "--hand-offs", "100", "--blocks", "16384", "--connections", "1000"]


def run(build, *options):
    return subprocess.run([TABLE, "--build", build, *options], capture_output=True, text=True, check=False, timeout=250)


def test_a_round_measures_the_channel_layer_beside_every_rival_and_judges_every_aim():
    ran = run(os.environ["SLUICE_BUILD"], *SMALL)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    for word in ["machine: ", "commit: ", "command: ", "Sluice", "per-cell", "message_queue", "robust mutex", "socket pair"]:
        assert word in ran.stdout
    assert sum(row.endswith(("| met |", "| not met |")) for row in ran.stdout.splitlines()) == 14


def test_a_figure_that_cannot_be_taken_fails_the_whole_table(tmp_path):
    program = tmp_path / "tools/bench/shm_bench"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)

    ran = run(tmp_path, *SMALL)

    assert ran.returncode == 1 and "ended with 1" in ran.stderr
