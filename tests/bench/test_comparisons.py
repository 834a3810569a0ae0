"""tests/bench/test_comparisons.py -- the comparisons of `tools/dev bench` still take every figure, from whoever is installed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools/bench"
MOMENT = ["--rounds", "1", "--seconds", "0.2", "--patience", "0", "--retries", "0"]
NGINX = shutil.which("nginx") or Path("/usr/sbin/nginx").exists()
WS = Path("/usr/share/nodejs/ws").exists()
WITHOUT = ["--without", ",".join([*([] if NGINX else ["nginx return 200", "nginx proxying"]), *([] if WS else ["ws"])])]


def tables(name, *options):
    """{title: {row: [cells]}} of a bench that ran for a moment."""
    ran = subprocess.run([TOOLS / name, "--build", os.environ["SLUICE_BUILD"], *MOMENT, *WITHOUT, *options], capture_output=True,
                         text=True, check=False, timeout=250)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    head, *parts = ran.stdout.split("\n### ")
    assert re.match(r"machine: .*\ncommit: .*\ncommand: tools/dev bench .*\n", head)
    return {lines[0]: {cells[0]: cells[1:] for cells in (row.strip("| ").split(" | ") for row in lines[3:] if row)}
            for lines in (part.splitlines() for part in parts)}


def check_rows(table, names):
    """Each is there, has done something, and nothing of it went wrong."""
    assert [name.removesuffix(" (dirty)") for name in table] == names
    for cells in table.values():
        assert float(cells[0].replace(",", "")) > 0 and cells[-1] == "0", cells


def test_websockets_are_measured_beside_the_rivals_of_debian():
    rival = f"any other=/usr/bin/python3 {TOOLS}/ws_server.py {{port}}"
    taken = tables("websocket.py", "--members", "50", "--rival", rival)

    assert [title.split(" ")[0] for title in taken] == ["Echo", "Echo", "Echo", "Broadcast"]
    for title, table in taken.items():
        check_rows(table, ["Sluice", "websockets", *(["ws"] if WS else []), *(["any other"] if "Echo" in title else [])])


def test_heads_forms_and_bodies_are_measured_beside_nginx():
    taken = list(tables("requests.py", "--mib", "8", "--connections", "4").values())

    bare, full, form, up, down = taken
    for table in (bare, full):
        check_rows(table, [*(["nginx return 200"] if NGINX else []), "Sluice"])
    check_rows(form, [*(["nginx return 200, read and dropped"] if NGINX else []), "Sluice, parsed", "Sluice, --forms raw"])
    check_rows(up, [*(["nginx, proxy_request_buffering off", "nginx proxying, its defaults"] if NGINX else []),
                    "Sluice", "the upstream alone"])
    check_rows(down, [*(["nginx proxying, its defaults"] if NGINX else []), "Sluice", "the upstream alone"])


def test_requests_echoes_and_idle_connections_are_measured_beside_nginx():
    requests, echoes, idle = tables("bench.py", "--connections", "4", "--layouts", "split", "--idle", "10").values()

    check_rows(requests, [*(["nginx return 200"] if NGINX else []), "Sluice"])
    check_rows(echoes, ["Sluice"])
    assert len(idle) == 5 and all(cells[0] == "10" for cells in idle.values())


def test_slow_clients_are_told_apart_from_what_such_clients_cost_anyway():
    (taken,) = tables("slowloris.py", "--slow", "50", "--every", "1", "--connections", "4").values()

    check_rows(taken, ["alone", "beside slow clients of somebody else", "beside slow clients of the gateway"])


def test_a_server_that_does_not_start_is_named_in_one_line(tmp_path):
    ran = subprocess.run([TOOLS / "websocket.py", "--build", tmp_path, *MOMENT, "--without", "websockets,ws"], capture_output=True,
                         text=True, check=False, timeout=250)

    assert ran.returncode == 1
    assert re.fullmatch(r"tools/bench: Sluice does not start: .*\n", ran.stderr)
