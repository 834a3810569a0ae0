"""tests/blackbox/flow.py -- runs flow_consumer: bodies and answers at the pace a test asks for."""

from support.consumer_process import ConsumerProcess
from support.gateway import BUILD

PROGRAM = BUILD / "tests" / "blackbox" / "flow_consumer"
OCTETS = {"Content-Type": "application/octet-stream"}
MIB = 1 << 20


class Flow(ConsumerProcess):
    """One flow consumer, attached; it says each message it takes, but chunks of bodies."""

    def __init__(self, gateway):
        super().__init__(PROGRAM, gateway.control)


def has_seen(gateway):
    """Returns when the gateway's only worker has read all that was sent to it before."""
    with gateway.connect() as client:
        client.send(b"no head\r\n\r\n")
        assert client.read_response().status == 400
