"""tests/autobahn/cases_text.py -- 6: what is UTF-8 and what is not, and when that is noticed."""

from functools import partial

from autobahn.case import ANSWER, PAUSE, TEXT, echoed, failed, frame, fragments, parts, whole

CASES = {}
GREEK = "κ\u1f79σμε".encode()  # its second letter takes three bytes
MIXED = "Grüße, κόσμε – \N{SNOWMAN} \U0001f600 ß\U00010348".encode()
SURROGATE = b"\xed\xa0\x80"
BEYOND = b"\xf4\x90\x80\x80"  # U+110000

# ---- 6.1 to 6.4: messages and their fragments

CASES["6.1.1"] = partial(echoed, "an empty text", [frame(TEXT)], b"")
CASES["6.1.2"] = partial(echoed, "three empty fragments", whole(parts(TEXT, b"", b"", b"")), b"")
CASES["6.1.3"] = partial(echoed, "two of three fragments empty", whole(parts(TEXT, b"", b"middle", b"")), b"middle")
CASES["6.2.1"] = partial(echoed, "characters of all lengths", [frame(TEXT, MIXED)], MIXED)
CASES["6.2.2"] = partial(echoed, "cut between characters", whole(parts(TEXT, MIXED[:9], MIXED[9:])), MIXED)
CASES["6.2.3"] = partial(echoed, "fragments of a byte", whole(fragments(TEXT, MIXED, 1)), MIXED)
CASES["6.2.4"] = partial(echoed, "Greek in fragments of a byte", whole(fragments(TEXT, GREEK, 1)), GREEK)
BAD = GREEK + SURROGATE + b"edited"
CASES["6.3.1"] = partial(failed, "a surrogate behind good text", [frame(TEXT, BAD)], (1007,))
CASES["6.3.2"] = partial(failed, "a surrogate in fragments of a byte", whole(fragments(TEXT, BAD, 1)), (1007,))


def in_three(pieces, in_one_frame):
    """Three pieces a second apart, of which the second makes the text bad."""
    frames = parts(TEXT, *pieces)
    if in_one_frame:
        stream = frame(TEXT, b"".join(pieces))
        first = len(stream) - len(b"".join(pieces[1:]))
        second = first + len(pieces[1])
        frames = [stream[:first], stream[first:second], stream[second:]]
    return failed("bad text, a second before its end", [frames[0], PAUSE, frames[1], ANSWER, frames[2]], (1007,),
                  fail_fast=True)


CHARACTER = [GREEK, BEYOND, b"edited"]
BYTE = [GREEK + BEYOND[:1], BEYOND[1:2], BEYOND[2:] + b"edited"]
CASES["6.4.1"] = partial(in_three, CHARACTER, False)
CASES["6.4.2"] = partial(in_three, BYTE, False)
CASES["6.4.3"] = partial(in_three, CHARACTER, True)
CASES["6.4.4"] = partial(in_three, BYTE, True)

# ---- 6.5 to 6.23: one text in one frame. Python's decoder, which keeps to RFC 3629, says what is good.

TRUNCATED = ["c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf"]
HIGH, LOW = ["eda080", "edadbf", "edae80", "edafbf"], ["edb080", "edbfbf"]
HEX = {
    "6.7": ["00", "c280", "e0a080", "f0908080"],               # the lowest character of each length
    "6.8": ["f888808080", "fc8480808080"],                     # five bytes, six
    "6.9": ["7f", "dfbf", "efbfbf", "f48fbfbf"],               # the highest
    "6.10": ["f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"],        # higher still
    "6.11": ["ed9fbf", "ee8080", "efbfbd", "f48fbfbf", "f4908080"],  # beside what is none
    "6.14": TRUNCATED,                                         # the last byte is missing
    "6.15": ["".join(TRUNCATED)],
    "6.16": ["fe", "ff", "fefeffff"],                          # no byte of UTF-8
    "6.17": ["c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"],          # overlong: a slash
    "6.18": ["c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"],          # the highest overlong
    "6.19": ["c080", "e08080", "f0808080", "f880808080", "fc8080808080"],          # overlong: NUL
    "6.20": HIGH + ["edb080", "edbe80", "edbfbf"],             # one surrogate
    "6.21": [one + other for one in HIGH for other in LOW],    # pairs of them
}
TEXTS = {family: [bytes.fromhex(one) for one in texts] for family, texts in HEX.items()}
TEXTS["6.5"] = [f"hello{letter}world".encode() for letter in ["$", "¢", "€", "\U00024b62"]] + [GREEK]
TEXTS["6.6"] = [GREEK[:end] for end in range(1, len(GREEK) + 1)]
TEXTS["6.12"] = [b"\x80", b"\xbf", *[(b"\x80\xbf" * 3)[:end] for end in range(2, 7)], bytes(range(0x80, 0xbf))]
TEXTS["6.13"] = [b"".join(bytes([lead, 0x20]) for lead in leads) for leads in [  # leads that lead nothing
    range(0xc0, 0xdf), range(0xe0, 0xef), range(0xf0, 0xf7), range(0xf8, 0xfb), [0xfc]]]
TEXTS["6.22"] = [chr(plane << 16 | 0xfffe | last).encode() for plane in range(17) for last in (0, 1)]
TEXTS["6.23"] = [chr(letter).encode() for letter in range(0xfff9, 0x10000)]


def one_text(text):
    """Echoed if it is UTF-8, else refused."""
    says = f"the text {text.hex()}"
    try:
        text.decode()
    except UnicodeDecodeError:
        return failed(says, [frame(TEXT, text)], (1007,))
    return echoed(says, [frame(TEXT, text)], text)


for family, texts in TEXTS.items():
    for number, text in enumerate(texts, 1):
        CASES[f"{family}.{number}"] = partial(one_text, text)
