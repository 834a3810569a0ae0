"""tests/blackbox/test_sockets.py -- unix sockets, sockets it is started with, and the root path."""

import re
import socket

import pytest

from asker import BALANCER, FORWARDED, LINE, OPTIONS, TRUSTED, UnixClient, ask, who
from support.gateway import Gateway
from support.http_client import Client
from support.waiting import SLOWNESS


# ---- unix sockets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [False, True])
def test_who_comes_over_a_unix_socket_has_no_address_but_what_it_is_trusted_to_say(trusted):
    gateway = Gateway(*(["--trusted-proxies", "unix"] if trusted else OPTIONS), workers=1, demo=1)
    path = gateway.folder / "web"
    gateway.command += ["--listen", f"unix:{path}"]
    with gateway:
        for headers in ({}, {"X-Forwarded-For": "unix:"}):
            with UnixClient(path) as client:
                assert who(client.exchange("GET", "/echo", headers)) == ("http", None, [str(path), None])
        with UnixClient(path) as client:
            said = who(client.exchange("GET", "/echo", FORWARDED))
        assert ask(gateway, FORWARDED) == ("http", "us", "here")

    assert said == (("https", ["198.51.100.7", 0], ["example.org", 445]) if trusted
                    else ("http", None, [str(path), None]))


def test_a_unix_socket_may_have_to_speak_the_proxy_protocol():
    gateway = Gateway("--proxy-protocol", "unix", workers=1, demo=1)
    path = gateway.folder / "web"
    gateway.command += ["--listen", f"unix:{path}"]
    with gateway:
        with UnixClient(path) as client:
            client.send(LINE)
            assert who(client.exchange("GET", "/echo")) == ("http", ["192.0.2.7", 4711], ["203.0.113.1", 443])
        with UnixClient(path) as client:
            client.request("GET", "/echo")
            assert client.read_to_end() == b""
        assert ask(gateway) == ("http", "us", "here")


# ---- sockets we are started with -----------------------------------------------------------------------------------


def passed_socket(family=socket.AF_INET, address=("127.0.0.1", 0)):
    """A bound socket, as a supervisor makes it."""
    bound = socket.socket(family)
    bound.bind(address)
    bound.listen()
    return bound


AS_SUPERVISOR = """
import fcntl, os, sys
pid, count = sys.argv[1], int(sys.argv[2])
passed = [int(word) for word in sys.argv[3:3 + count]]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in passed]
for fd in passed:
    os.close(fd)
for at, fd in enumerate(high):
    os.dup2(fd, 3 + at)
    os.close(fd)
os.environ.update(LISTEN_PID=pid or str(os.getpid()), LISTEN_FDS=str(count))
os.execv(sys.argv[3 + count], sys.argv[3 + count:])
"""


def supervised(gateway, *sockets, pid=""):
    """Has the gateway started as sd_listen_fds(3) says: the sockets are 3 and up, the variables name its process."""
    gateway.passed = [bound.fileno() for bound in sockets]
    gateway.command = ["/usr/bin/python3", "-I", "-c", AS_SUPERVISOR, pid, str(len(sockets)),
                       *map(str, gateway.passed), *gateway.command]
    return gateway


def test_a_socket_it_is_started_with_is_listened_on():
    with passed_socket() as bound:
        gateway = Gateway("--listen", f"fd:{bound.fileno()}", listen=None, workers=2)
        gateway.passed = [bound.fileno()]
        with gateway:
            assert gateway.port == bound.getsockname()[1]
            assert {ask(gateway) for _ in range(20)} == {("http", "us", "here")}


@pytest.mark.parametrize("named", [[], ["--listen", "fd:3"], ["--listen", "127.0.0.1:0"]], ids=["", "fd", "beside"])
def test_sockets_of_a_supervisor_are_listened_on(named, tmp_path):
    path = tmp_path / "web"
    with passed_socket() as first, passed_socket(socket.AF_UNIX, str(path)) as second:
        with supervised(Gateway(*named, listen=None), first, second) as gateway:
            assert first.getsockname()[1] in [int(port) for port in re.findall(r"http://127.0.0.1:(\d+)/",
                                                                               gateway.output.text())]
            with Client("127.0.0.1", first.getsockname()[1], 10 * SLOWNESS) as client:
                assert client.exchange("GET", "/").status == 200
            with UnixClient(path) as client:
                assert who(client.exchange("GET", "/echo")) == ("http", None, [str(path), None])
            assert len(re.findall("^(?:http|unix):", gateway.output.text(), re.MULTILINE)) == (
                3 if "127.0.0.1:0" in named else 2)


def test_sockets_meant_for_another_process_are_let_be():
    with passed_socket() as bound, supervised(Gateway(), bound, pid="1") as gateway:
        assert gateway.port != bound.getsockname()[1]
        assert gateway.get("/").status == 200


def test_a_socket_for_both_families_knows_ipv4_networks():
    with passed_socket(socket.AF_INET6, ("::", 0)) as bound:
        gateway = Gateway(*OPTIONS, "--listen", f"fd:{bound.fileno()}", listen=None)
        gateway.passed = [bound.fileno()]
        with gateway:
            gateway.host, gateway.port = "127.0.0.1", bound.getsockname()[1]
            assert ask(gateway, FORWARDED, TRUSTED) == ("https", ["198.51.100.7", 0], ["example.org", 445])
            assert ask(gateway, FORWARDED) == ("http", "us", "here")
            assert ask(gateway, {}, BALANCER, LINE)[1] == ["192.0.2.7", 4711]


# ---- the root path -------------------------------------------------------------------------------------------------


def test_what_lies_below_the_root_path_is_path_info():
    with Gateway("--root-path", "/app", workers=1, demo=1) as gateway:
        for target, path, path_info in [
                ("/app/echo/x", "/app/echo/x", "/echo/x"), ("/app/%65cho", "/app/echo", "/echo"),
                ("/echo", "/app/echo", "/echo"), ("/echo/app", "/app/echo/app", "/echo/app")]:
            echo = gateway.get(target).json()
            assert (echo["path"], echo["path_info"], echo["root_path"]) == (path, path_info, "/app")
            assert (echo["META"]["SCRIPT_NAME"], echo["META"]["PATH_INFO"]) == ("/app", path_info)
            assert echo["raw_path"] == target
        for target in ("/app/", "/app"):
            assert gateway.get(target).body == b"Hello, World!"
        for target in ("/application/echo", "/app//echo", "/APP/echo"):
            assert gateway.get(target).status == 404
