"""tests/blackbox/test_exhaustion.py -- descriptors, memory, slots or a channel used up: new work is refused, old goes on, it recovers."""

import os
import resource
import time

import pytest

from flow import OCTETS, Flow
from support import processes
from support.gateway import Gateway
from support.http_client import Closed, request_bytes
from support.shm_dump import dump
from support.waiting import wait_until

LEFT = (Closed, ConnectionError)


def set_descriptors(pid, most):
    """Lets a process have descriptors below that number; gives what to restore."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    return before


def refused(gateway):
    """Whether a new client is told 503, in these words, without having asked."""
    with gateway.connect() as client:
        try:
            response = client.read_response()
        except LEFT:
            return False
        return response.status == 503 and response.header("connection") == "close"


def test_descriptors_used_up_in_a_running_worker_refuse_new_clients_alone():
    with Gateway() as gateway:
        worker = gateway.roles()["worker"][0]
        assert gateway.get("/").status == 200
        highest = max(int(number) for number in os.listdir(f"/proc/{worker}/fd"))
        before = set_descriptors(worker, highest + 8)
        inside = []
        while len(inside) < 100:
            client = gateway.connect()
            client.request("GET", "/")
            try:
                if client.read_response().status == 503:
                    break
            except LEFT:
                break
            inside.append(client)
        assert 0 < len(inside) < 100

        used = processes.cpu_seconds(worker)
        assert all(refused(gateway) for _ in range(20))
        assert processes.cpu_seconds(worker) - used < 1
        assert all(client.exchange("GET", "/").body == b"Hello, World!" for client in inside)

        inside.pop().close()
        wait_until(lambda: gateway.get("/").status == 200, "there is room for one again")
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        more = [gateway.connect() for _ in range(20)]
        assert all(client.exchange("GET", "/").status == 200 for client in more)
        for client in inside + more:
            client.close()


def test_a_worker_without_even_a_descriptor_to_refuse_with_rests_and_serves_on():
    with Gateway() as gateway, gateway.connect() as inside:
        worker = gateway.roles()["worker"][0]
        assert inside.exchange("GET", "/").status == 200
        before = set_descriptors(worker, 3)  # what it has it keeps, but for the one kept back
        begun, used = time.monotonic(), processes.cpu_seconds(worker)
        waiting = [gateway.connect() for _ in range(5)]
        for client in waiting:
            client.request("GET", "/")

        assert not waiting[-1].has_input(1)
        assert inside.exchange("GET", "/").status == 200
        assert processes.cpu_seconds(worker) - used < 0.5 * (time.monotonic() - begun)

        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        assert [client.read_response().status for client in waiting] == [200] * 5
        for client in waiting:
            client.close()


def test_a_gateway_with_few_descriptors_takes_as_many_clients_as_it_can_keep():
    gateway = Gateway()
    gateway.command[:0] = ["/bin/sh", "-c", 'ulimit -n 300; exec "$@"', "sh"]
    with gateway:
        inside = []
        while len(inside) < 300:
            client = gateway.connect()
            client.request("GET", "/")
            if client.read_response().status == 503:
                client.close()
                break
            inside.append(client)
        assert 50 < len(inside) < 300

        assert refused(gateway)
        assert all(client.exchange("GET", "/").status == 200 for client in inside)
        for client in inside:
            client.close()
        wait_until(lambda: gateway.get("/").status == 200, "there is room again")


def test_a_class_of_memory_used_up_refuses_what_needs_it_and_nothing_else():
    with Gateway("--max-connections", "64", "--stuck-timeout", "600", demo=0) as gateway, Flow(gateway):
        clients = [gateway.connect() for _ in range(10)]
        body = request_bytes("POST", "/hold", OCTETS, bytes(40000))
        for client in clients:
            client.send(body * 60)
        # All blocks of 72 KiB, and then the larger ones, are in the consumer's hands.
        wait_until(lambda: too_much(gateway), "a long request is refused")
        wait_until(lambda: dump(gateway).blocks("taken") >= 256, "the consumer holds them")

        with gateway.connect() as small:
            assert [small.exchange("GET", "/").body for _ in range(50)] == [b"plain"] * 50

        assert gateway.get("/release").status == 200
        statuses = [client.read_response().status for client in clients for _ in range(60)]
        assert set(statuses) == {200, 503} and statuses.count(200) >= 256
        wait_until(lambda: not too_much(gateway), "a long request is served again")
        for client in clients:
            client.close()


@pytest.mark.parametrize("content_type, body, count", [("application/octet-stream", bytes(65536), 380),
                                                       ("application/x-www-form-urlencoded", b"a=" + b"x" * 65000, 120)],
                         ids=["64 KiB as they are", "a form beside its bytes"])
def test_as_many_long_requests_are_held_at_once_as_there_are_blocks_for_them(content_type, body, count):
    with Gateway("--max-connections", "64", "--stuck-timeout", "600", demo=0) as gateway, Flow(gateway):
        clients = [gateway.connect() for _ in range(10)]
        for n, client in enumerate(clients, 1):  # the channel itself holds no more than 16 MiB
            client.send(request_bytes("POST", "/hold", {"Content-Type": content_type}, body) * (count // 10))
            wait_until(lambda n=n: dump(gateway).blocks("taken") >= n * count // 10, "the consumer holds them")
        assert gateway.get("/release").status == 200
        assert {client.read_response().status for client in clients for _ in range(count // 10)} == {200}
        for client in clients:
            client.close()


def too_much(gateway):
    """Whether a request of 40 KB is refused for want of memory."""
    with gateway.connect() as client:
        response = client.exchange("POST", "/", OCTETS, bytes(40000))
    assert response.status in (200, 503)
    assert response.status == 200 or int(response.header("retry-after")) >= 1
    return response.status == 503


def test_a_full_channel_refuses_new_requests_and_answers_those_it_holds():
    with Gateway("--channel", "http.request capacity=4", "--stuck-timeout", "600", demo=0) as gateway, Flow(gateway) as flow:
        flow.freeze()
        held = [gateway.connect() for _ in range(4)]
        for client in held:
            client.request("GET", "/")
        wait_until(lambda: dump(gateway).channel("http.request")["pending"] == 4, "the channel is full")

        response = gateway.get("/")
        assert response.status == 503 and int(response.header("retry-after")) >= 1

        flow.go_on()
        assert [client.read_response().body for client in held] == [b"plain"] * 4
        assert gateway.get("/").body == b"plain"
        for client in held:
            client.close()

