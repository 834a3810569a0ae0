"""tests/autobahn/cases_deflate.py -- 12 and 13: permessage-deflate, by what is sent and what was agreed."""

import functools
import zlib
from functools import partial

from autobahn import payloads
from autobahn.case import BINARY, TEXT, RoundTrips, fragments

CASES = {}
SHAPES = ([(size, None) for size in (16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072)]
          + [(size, 256) for size in (8192, 16384, 32768, 65536, 131072)]
          + [(131072, fragment) for fragment in (1024, 4096, 32768)])
PLAIN = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
ALONE = "; server_no_context_takeover"
NARROW, WIDE = "; server_max_window_bits=9", "; server_max_window_bits=15"


@functools.cache
def packed(kind, size, fragment):
    """Messages and their frames, the same for every case: each is deflated without a context."""
    contents = payloads.messages(kind, size, RoundTrips.number)
    opcode = TEXT if kind in payloads.TEXTS else BINARY
    frames = []
    for content in contents:
        deflater = zlib.compressobj(wbits=-15)
        deflated = (deflater.compress(content) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        frames.append(b"".join(fragments(opcode, deflated, fragment or len(deflated), reserved=4)))
    return contents, frames


def there_and_back(kind, size, fragment, offer):
    """A thousand messages on a connection that agreed to what was offered."""
    opcode = TEXT if kind in payloads.TEXTS else BINARY
    cut = f" in fragments of {fragment}" if fragment else ""
    return RoundTrips(f"{kind} of {size} bytes{cut}, offered {offer}", opcode=opcode,
                      messages=packed(kind, size, fragment), offer=offer)


FAMILIES = {f"12.{number}": (kind, PLAIN) for number, kind in enumerate(["json", "bitmap", "prose", "html", "pdf"], 1)}
for number, offer in enumerate([
        PLAIN, PLAIN + ALONE, PLAIN + NARROW, PLAIN + WIDE, PLAIN + ALONE + NARROW, PLAIN + ALONE + WIDE,
        ", ".join([PLAIN + ALONE + NARROW, PLAIN + ALONE, PLAIN])], 1):
    FAMILIES[f"13.{number}"] = ("json", offer)
for family, (kind, offer) in FAMILIES.items():
    for number, (size, fragment) in enumerate(SHAPES, 1):
        CASES[f"{family}.{number}"] = partial(there_and_back, kind, size, fragment, offer)
