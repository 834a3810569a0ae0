"""tests/autobahn/payloads.py -- what 12 and 13 send: texts and files of our own making, always the same."""

import functools
import json
import random
import struct
import zlib

SIZE = 1 << 20  # of each; messages are cut from it, one behind the other

GERMAN = ("der die und in zu den das nicht von sie ist des sich mit dem dass er es ein ich auf so eine auch als an nach "
          "wie im für man aber aus durch wenn nur war noch werden bei hat wir was wird sein einen welche sind oder um "
          "haben einer mir über ihm diese einem ihr uns da zum zur kann doch vor mich selbst Straße Häuser Größe "
          "Gespräch Brücke Wörter Flüsse Königin Tür Mädchen Äpfel Öfen übrigens schließlich außerdem").split()
GREEK = "κόσμος ημέρα νύχτα θάλασσα ουρανός δρόμος φίλος λόγος χρόνος άνεμος".split()
ENGLISH = "the of and to in is that it was for on are as with his they at be this from have or by one had not".split()


def _sentence(chance, words):
    said = chance.choices(words, k=chance.randint(4, 18))
    return " ".join([said[0].capitalize(), *said[1:]]) + chance.choice(". . . ! ?".split())


def _text(kind, line):
    """Lines until there is enough of it; `line` makes one."""
    chance, lines, size = random.Random(kind), [], 0
    while size < SIZE:
        lines.append(line(chance, len(lines)).encode())
        size += len(lines[-1])
    return b"".join(lines)[:SIZE]


def _json(chance, number):
    return json.dumps({"id": number, "user": {"name": chance.choice(GREEK), "followers": chance.randrange(10 ** 6)},
                       "text": _sentence(chance, ENGLISH), "geo": [chance.uniform(-90, 90), chance.uniform(-180, 180)],
                       "tags": chance.sample(ENGLISH, 3), "seen": chance.random() < 0.5, "reply_to": None},
                      ensure_ascii=False) + ",\n"


def _html(chance, number):
    return (f'<div class="entry {chance.choice(ENGLISH)}" id="e{number}"><h2>{_sentence(chance, GREEK)}</h2>\n'
            f'  <p>{_sentence(chance, ENGLISH)} <a href="/page/{chance.randrange(9999)}">{chance.choice(GREEK)}</a>'
            f"</p>\n</div>\n")


def _prose(chance, _):
    return _sentence(chance, GERMAN) + " "


def _bitmap():
    """Three bytes a pixel: areas of one colour, slopes, and a band of noise."""
    chance, side = random.Random("bitmap"), 591
    rows = []
    for row in range(side):
        if row % 8 == 0:
            colour, run = bytes(chance.choices(range(256), k=3)), chance.randint(50, 400)
        if row % 37 < 3:
            rest = chance.randbytes(3 * (side - run))
        else:
            rest = b"".join(bytes([column & 255, row & 255, (column + row) >> 2 & 255]) for column in range(run, side))
        rows.append(colour * run + rest)
    head = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54 + 3 * side * side, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return (head + b"".join(rows))[:SIZE].ljust(SIZE, b"\0")


def _pdf():
    """Objects whose streams are deflated, and objects in words."""
    chance, objects = random.Random("pdf"), [b"%PDF-1.4\n"]
    while sum(map(len, objects[-2:])) * len(objects) < 3 * SIZE:
        stream = zlib.compress(" ".join(_sentence(chance, GERMAN) for _ in range(60)).encode())
        number = 2 * len(objects)
        objects.append(b"%d 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream\nendobj\n"
                       b"%d 0 obj\n<< /Type /Page /Parent 1 0 R /Contents %d 0 R >>\nendobj\n" % (
                           number, len(stream), stream, number + 1, number))
    return b"".join(objects)[:SIZE]


MAKERS = {"json": lambda: _text("json", _json), "html": lambda: _text("html", _html),
          "prose": lambda: _text("prose", _prose), "bitmap": _bitmap, "pdf": _pdf}
TEXTS = {"json", "html"}  # sent as text, so that every message is UTF-8 by itself


@functools.cache
def source(kind):
    """All of one kind."""
    return MAKERS[kind]()


@functools.cache
def messages(kind, size, most):
    """Up to `most` different messages of so many bytes."""
    content = source(kind)
    pieces = [content[at:at + size] for at in range(0, min(SIZE, most * size), size)]
    if kind in TEXTS:  # a character cut in two becomes spaces
        pieces = [piece.decode(errors="ignore").encode().ljust(size) for piece in pieces]
    return pieces
