"""tests/style/test_tree.py -- the rules of the tree that a program can check."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["gateway", "worker", "shm", "protocol", "consumer", "tests", "tools", ".ci"]
HEADER_LINES, SOURCE_LINES = 200, 500
LONGER = {"protocol/limits.h": "one table of every limit: it grows by a line for each"}

# Two words for one thing is a bug; these say nothing. What breaks the rule says why.
UNUSED_WORDS = {"manager", "handler", "helper", "context", "data", "info", "peer", "packet"}
EXCEPTED = {"AttachPacket": "the control socket is SOCK_SEQPACKET, and a packet is what it carries"}


def files(*endings):
    """Paths of the tree's files with these endings, builds and caches left out."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in endings and "__pycache__" not in path.parts:
                yield path


def name(path):
    """A file's path as a reader writes it."""
    return path.relative_to(ROOT).as_posix()


def lines_with(pattern, *endings, but=()):
    """`file:line: text` for each line in which the pattern is found."""
    found = []
    for path in files(*endings):
        if not name(path).startswith(tuple(but) or "\0"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if re.search(pattern, line):
                    found.append(f"{name(path)}:{number}: {line.strip()}")
    return found


def test_no_file_is_too_long():
    limits = {".h": HEADER_LINES, ".cc": SOURCE_LINES, ".py": SOURCE_LINES}
    lengths = {name(path): (len(path.read_text(encoding="utf-8").splitlines()), limits[path.suffix])
               for path in files(*limits)}

    too_long = {file: length for file, (length, limit) in lengths.items() if length > limit and file not in LONGER}

    assert lengths and not too_long


def test_every_source_opens_by_saying_what_it_is():
    silent = [name(path) for path in files(".h", ".cc")
              if not path.read_text(encoding="utf-8").startswith(f"// {name(path)} -- ")
              and name(path) != "tests/unit/main.cc"]

    assert not silent


def test_no_type_and_no_file_is_named_by_an_empty_word():
    def empty(identifier):
        parts = re.findall(r"[A-Z]?[a-z]+", identifier)
        return any(part.lower() in UNUSED_WORDS for part in parts) and identifier not in EXCEPTED

    named = [f"{name(path)}: {match[1]}" for path in files(".h", ".cc")
             for match in re.finditer(r"^\s*(?:class|struct|enum class|using) (\w+)\b(?!;)",
                                      path.read_text(encoding="utf-8"), re.MULTILINE) if empty(match[1])]
    named += [name(path) for path in files(".h", ".cc", ".py") if empty(path.stem)]

    assert not named


def test_nothing_is_put_off():
    marks = "TO" "DO|FIX" "ME|X" "XX"

    assert not lines_with(rf"\b({marks})\b", ".h", ".cc", ".py", ".build", ".sh")


def test_no_test_sleeps():
    sleeps = r"sleep_for|sleep_until|\busleep\(|\bnanosleep\(|time\.sl" "eep"

    found = lines_with(sleeps, ".h", ".cc", ".py", but=["tests/style/"])

    assert not [line for line in found if line.startswith("tests/")]


def test_sequential_consistency_stands_only_where_processes_ring_each_other():
    places = ["shm/doorbell", "shm/connection_slots", "shm/full_fence.h", "shm/ready_bitmap.h",
              "tests/",
              "shm/channel_layer.cc",  # a sender says it waits for room, then looks again
              "shm/receive.cc",        # a reader says it reads, then looks again
              "shm/room.cc",           # as in channel_layer.cc, at queues
              "consumer/sleep.cc"]     # a signal handler interrupts a sleeper

    assert not lines_with(r"\bseq_cst\b", ".h", ".cc", but=places)


def test_every_atomic_access_in_shared_memory_states_its_order():
    silent = [line for line in lines_with(r"[.>]load\(\)", ".h", ".cc") if line.startswith("shm/")]

    assert not silent


def test_every_folder_says_what_it_is():
    silent = [folder for folder in ["gateway", "worker", "shm", "protocol", "consumer"]
              if not (ROOT / folder / "README.md").is_file()]

    assert not silent


def test_shell_scripts_are_clean():
    scripts = [path for folder in ("tools", ".ci") for path in sorted((ROOT / folder).iterdir())
               if path.is_file() and path.read_bytes().startswith((b"#!/usr/bin/env bash", b"#!/bin/sh"))]

    checked = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)

    assert scripts and checked.returncode == 0, checked.stdout + checked.stderr


def test_scripts_can_be_started():
    scripts = [path for folder in ("tools", ".ci") for path in (ROOT / folder).iterdir()
               if path.is_file() and path.read_bytes().startswith(b"#!")]

    assert [name(path) for path in scripts if not os.access(path, os.X_OK)] == []


def test_no_path_of_one_machine_stands_in_the_tree():
    machine = r"(^|[^\w.])/(wo" r"rk|ho" r"me|Users)/\w"

    assert not lines_with(machine, ".h", ".cc", ".py", ".build", ".md")
