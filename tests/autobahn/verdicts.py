"""tests/autobahn/verdicts.py -- the numbers of the cases, the words of a verdict, and which are good.

Ours and those of the suite (tools/autobahn) are judged here alike.
"""

OK, NON_STRICT, INFORMATIONAL, UNIMPLEMENTED, FAILED = (
    "OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")
# Of the close alone: no closing handshake; another code than asked for; the server left the end to us.
UNCLEAN, WRONG_CODE, FAILED_BY_CLIENT = "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT"

FAMILIES = {  # and how many cases each has
    "1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20,
    "6.1": 3, "6.2": 4, "6.3": 2, "6.4": 4, "6.5": 5, "6.6": 11, "6.7": 4, "6.8": 2, "6.9": 4, "6.10": 3,
    "6.11": 5, "6.12": 8, "6.13": 5, "6.14": 10, "6.15": 1, "6.16": 3, "6.17": 5, "6.18": 5, "6.19": 5,
    "6.20": 7, "6.21": 8, "6.22": 34, "6.23": 7,
    "7.1": 6, "7.3": 6, "7.5": 1, "7.7": 13, "7.9": 9, "7.13": 2,
    "9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6, "10.1": 1,
    "12.1": 18, "12.2": 18, "12.3": 18, "12.4": 18, "12.5": 18,
    "13.1": 18, "13.2": 18, "13.3": 18, "13.4": 18, "13.5": 18, "13.6": 18, "13.7": 18,
}
NUMBERS = [f"{family}.{one}" for family, count in FAMILIES.items() for one in range(1, count + 1)]

# A frame that fails the connection may overtake the echo of the message before it, which a consumer makes.
MAY_BE_NON_STRICT = {"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"}
ONLY_INFORM = {"7.1.6", "7.13.1", "7.13.2"}


def is_good(number, behavior, behavior_close):
    """Whether both verdicts of a case are among those we stand for."""
    good = {OK} | ({NON_STRICT} if number in MAY_BE_NON_STRICT else set())
    good |= {INFORMATIONAL} if number in ONLY_INFORM else set()
    return behavior in good and behavior_close in good - {NON_STRICT}
