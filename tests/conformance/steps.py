"""tests/conformance/steps.py -- reads cases from a document, and carries out their steps.

A step is a line `who: verb rest -> expected`; README.md lists them. STEPS has a function for each verb, which
is given the case as it runs, who does it, the rest of the line, and what is expected.
"""

import re
from dataclasses import dataclass, field

from support.waiting import SLOWNESS, DeadlinePassed, wait_until

PATIENCE = 10 * SLOWNESS  # seconds to wait for what must come
LINE = re.compile(r"(?P<who>[a-z]+(?: [a-z]+)*): (?P<verb>\w+)(?P<rest>(?: .*?)?)(?: -> (?P<expected>.*))?$")


@dataclass
class Case:
    """What a document says of one case."""

    sentence: str
    why: str
    steps: list


def cases_in(path):
    """The cases of a document, in its order."""
    cases = []
    for part in re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        sentence, _, body = part.partition("\n")
        lines = body.splitlines()
        steps = [line.strip() for line in lines if line.startswith("    ") and line.strip()]
        why = " ".join(line.strip() for line in lines if line and not line.startswith("    "))
        cases.append(Case(sentence.strip(), why, steps))
    return cases


@dataclass
class Running:
    """A case as it runs: its processes, and the names its steps gave to what came of them."""

    start: callable                                # makes a driver
    clients: object                                # clients.Clients
    drivers: dict = field(default_factory=dict)
    names: dict = field(default_factory=dict)
    begun: dict = field(default_factory=dict)      # of a process, where what it was told to list begins

    def driver(self, who):
        """The process of that letter, started when it is first asked for."""
        if who not in self.drivers:
            self.drivers[who] = self.start()
        return self.drivers[who]

    def value(self, text, **more):
        """A message, or any other literal of a step."""
        text = re.sub(r"\$(\w+)", r"\1", text)
        known = {"text": lambda size: "x" * size, "octets": lambda size: b"\xff" * size, "range": range}
        return eval(text, {"__builtins__": {}}, {**known, **self.names, **more})  # pylint: disable=eval-used

    def channel(self, text):
        """A channel's name, in which $name stands for what an earlier step gave."""
        return re.sub(r"\$(\w+)", lambda match: self.names[match[1]], text)

    def close(self):
        """Ends every client and every process of the case."""
        try:
            self.clients.close()
        finally:
            for driver in self.drivers.values():
                driver.close()


def check(answer, expected, running):
    """Whether a call came to what the step says."""
    if expected is None:
        assert "error" not in answer, answer
    elif expected.startswith("error "):
        assert answer == {"error": expected.removeprefix("error ")}, shortened(answer)
    elif expected == "nothing":
        assert answer == {"error": "timed out"}, shortened(answer)
    elif re.fullmatch(r"\$\w+", expected):
        assert answer.get("ok"), answer
        running.names[expected[1:]] = answer["value"]
    else:
        more = expected.endswith(" and more")
        channel, _, message = expected.removesuffix(" and more").partition(" ")
        wanted = {"ok": True, "channel": running.channel(channel), "fields": running.value(message)}
        if more and "fields" in answer:
            fields = answer["fields"]
            answer = {**answer, "fields": {key: fields[key] for key in wanted["fields"] if key in fields}}
        assert typed(answer) == typed(wanted), f"{shortened(answer)} instead of {shortened(wanted)}"


def typed(value):
    """A value that tells apart what Python calls equal: 1 and True."""
    if isinstance(value, dict):
        return {key: typed(element) for key, element in value.items()}
    if isinstance(value, list):
        return [typed(element) for element in value]
    return (type(value).__name__, value)


def shortened(answer):
    """An answer as a line of a report."""
    text = repr(answer)
    return text if len(text) < 400 else f"{text[:200]}…{text[-100:]} ({len(text)} characters)"


def after(rest, word, otherwise=None):
    """(what stands before ` word VALUE` at the end of the line, the value) or (rest, otherwise)."""
    match = re.search(rf"^(.*?) ?\b{word} ([\d.]+)$", rest)
    return (match[1], float(match[2])) if match else (rest, otherwise)


# ---- the steps

def read(running, who, rest, expected):
    """read CHANNEL"""
    check(running.driver(who).ask("read", channel=running.channel(rest)), expected, running)


def stop_reading(running, who, _rest, expected):
    """stop_reading"""
    check(running.driver(who).ask("stop_reading"), expected, running)


def send(running, who, rest, expected):
    """send CHANNEL MESSAGE [changed] [within S] [times N]"""
    rest, times = after(rest, "times", 1)
    rest, within = after(rest, "within", 0)
    change = rest.endswith(" changed")
    channel, _, message = rest.removesuffix(" changed").partition(" ")
    for i in range(int(times)):
        answer = running.driver(who).ask("send", channel=running.channel(channel), wait=int(within * 1000),
                                         fields=running.value(message, i=i), change=change)
        check(answer, expected, running)


def receive(running, who, rest, expected):
    """receive [within S]"""
    _, within = after(rest, "within", PATIENCE)
    check(running.driver(who).receive(within), expected, running)


def keep(running, who, rest, expected):
    """keep [within S]"""
    _, within = after(rest, "within", PATIENCE)
    check(running.driver(who).receive(within, keep=True), expected, running)


def kept(running, who, _rest, expected):
    """kept"""
    check(running.driver(who).ask("kept"), expected, running)


def drain(running, who, rest, expected):
    """drain CHANNEL N -> MESSAGE with i"""
    channel, _, number = rest.partition(" ")
    channel, number = running.channel(channel), int(number)
    wanted = [typed(running.value(expected, i=i)) for i in range(number)]
    got = {one: [] for one in who.split()}
    while sum(map(len, got.values())) < number:
        answers = {one: running.driver(one).receive(0) for one in got}
        for one, answer in answers.items():
            if "ok" in answer:
                assert answer["channel"] == channel
                got[one].append(wanted.index(typed(answer["fields"])))
        if all("error" in answer for answer in answers.values()):
            late = running.driver(next(iter(got))).receive(PATIENCE)
            assert "ok" in late, f"{number - sum(map(len, got.values()))} of {number} messages did not come"
            got[next(iter(got))].append(wanted.index(typed(late["fields"])))
    assert sorted(sum(got.values(), [])) == list(range(number))
    assert all(numbers == sorted(numbers) for numbers in got.values()), got


def limit(running, who, rest, expected):
    """limit GLOB [capacity=N] [expiry=S]"""
    glob, *limits = rest.split()
    said = dict(one.split("=") for one in limits)
    answer = running.driver(who).ask("set_limits", glob=glob, capacity=int(said.get("capacity", 0)),
                                     expiry=int(float(said.get("expiry", 0)) * 1000))
    check(answer, expected, running)


def new_channel(running, who, rest, expected):
    """new_channel PREFIX -> $name"""
    check(running.driver(who).ask("new_channel", prefix=rest), expected, running)


def differs(running, _who, rest, _expected):
    """differs $one $other"""
    one, other = map(running.channel, rest.split())
    assert one != other and len(one) >= 20


def ends(running, who, rest, _expected):
    """ends CHANNEL: waits until a send on it says that its reader is gone"""
    channel = running.channel(rest)
    wait_until(lambda: running.driver(who).ask("send", channel=channel, fields={}, wait=0, change=False)
               == {"error": "reader gone"}, f"{channel} ends")


def soon(running, who, rest, _expected):
    """soon N CHANNEL MESSAGE: it is among the next N received"""
    number, channel, message = rest.split(" ", 2)
    wanted = typed({"ok": True, "channel": running.channel(channel), "fields": running.value(message)})
    got = [typed(running.driver(who).receive(PATIENCE)) for _ in range(int(number))]
    assert wanted in got, got


def takes(running, who, rest, _expected):
    """takes N CHANNEL: the next N received are of that channel, whatever they say"""
    number, channel = rest.split(" ")
    for _ in range(int(number)):
        answer = running.driver(who).receive(PATIENCE)
        assert answer.get("channel") == running.channel(channel), shortened(answer)


def flush(running, who, rest, expected):
    """flush [CHANNEL] [-> N]"""
    keys = {"channel": running.channel(rest)} if rest else {}
    answer = running.driver(who).ask("flush", **keys)
    assert answer.get("ok") and (expected is None or answer["value"] == int(expected)), answer


def counted(running, who, rest, expected):
    """counted CHANNEL|all -> {name: number, …}, waited for"""
    keys = {} if rest == "all" else {"channel": running.channel(rest)}
    wanted = running.value(expected)
    seen = {}

    def come_true():
        seen.update(running.driver(who).ask("statistics", **keys)["value"])
        return all(seen[name] in number if isinstance(number, range) else seen[name] == number
                   for name, number in wanted.items())
    try:
        wait_until(come_true, str(wanted), 5)
    except DeadlinePassed as late:
        raise AssertionError(f"{late}; instead {seen}") from None


def group_add(running, who, rest, expected):
    """group_add GROUP CHANNEL"""
    group, channel = rest.split()
    check(running.driver(who).ask("group_add", group=group, channel=running.channel(channel)), expected, running)


def group_discard(running, who, rest, expected):
    """group_discard GROUP CHANNEL"""
    group, channel = rest.split()
    check(running.driver(who).ask("group_discard", group=group, channel=running.channel(channel)), expected, running)


def group_send(running, who, rest, expected):
    """group_send GROUP MESSAGE [times N] [-> {"channels": N, "channels_full": N}]"""
    rest, times = after(rest, "times", 1)
    group, _, message = rest.partition(" ")
    for i in range(int(times)):
        answer = running.driver(who).ask("group_send", group=group, fields=running.value(message, i=i))
        if expected and not expected.startswith("error "):
            assert answer == {"ok": True, "value": running.value(expected)}, answer
        else:
            check(answer, expected, running)


def group_members(running, who, rest, expected):
    """group_members GROUP -> [CHANNEL, …]"""
    answer = running.driver(who).ask("group_members", group=rest)
    if expected.startswith("error "):
        check(answer, expected, running)
    else:
        assert sorted(answer["value"]) == running.value(expected), answer


def connections(running, who, rest, expected):
    """connections PREFIX [within S] -> [PATH, …]: of those whose path begins so"""
    prefix, within = after(rest, "within", PATIENCE)
    check_paths(running.driver(who).ask("connections", wait=int(within * 1000)), prefix, expected, running)


def check_paths(answer, prefix, expected, running):
    """Whether the connections listed are those of the paths expected, each once."""
    if expected is None or expected.startswith("error "):
        check(answer, expected, running)
        return
    assert answer.get("ok"), answer
    names = [each["reply_channel"] for each in answer["value"]]
    assert len(set(names)) == len(names), f"listed twice: {shortened(answer)}"
    paths = sorted(each["path"] for each in answer["value"] if each["path"].startswith(prefix))
    assert paths == running.value(expected), shortened(answer)


def listed(running, who, rest, expected):
    """listed PATH -> $name: the reply channel of the one connection with that path"""
    answer = running.driver(who).ask("connections", wait=int(PATIENCE * 1000))
    assert answer.get("ok"), answer
    (name,) = [each["reply_channel"] for each in answer["value"] if each["path"] == rest]
    running.names[expected.removeprefix("$")] = name


def begin(running, who, rest, _expected):
    """begin receive | begin send CHANNEL MESSAGE within S | begin connections PREFIX within S"""
    verb, _, rest = rest.partition(" ")
    rest, within = after(rest, "within", PATIENCE)
    if verb == "send":
        channel, _, message = rest.partition(" ")
        running.driver(who).begin("send", channel=running.channel(channel), fields=running.value(message),
                                  wait=int(within * 1000), change=False)
    elif verb == "connections":
        running.begun[who] = rest
        running.driver(who).begin("connections", wait=int(within * 1000))
    else:
        assert verb == "receive"
        running.driver(who).begin("receive", wait=int(within * 1000), keep=False)


def asleep(running, who, _rest, _expected):
    """asleep"""
    running.driver(who).wait_asleep()


def end(running, who, _rest, expected):
    """end -> what came of what was begun"""
    if who in running.begun:
        check_paths(running.driver(who).end(), running.begun.pop(who), expected, running)
    else:
        check(running.driver(who).end(), expected, running)


def killed(running, who, _rest, _expected):
    """killed"""
    running.driver(who).kill()
    del running.drivers[who]
    running.begun.pop(who, None)


# ---- the steps of a client

def opens(running, who, rest, _expected):
    """opens PATH [beside CLIENT] [times N], text(N) in it standing for N characters"""
    rest, times = after(rest, "times", 1)
    rest = re.sub(r"text\((\d+)\)", lambda match: "x" * int(match[1]), rest)
    path, _, other = rest.partition(" beside ")
    for _ in range(int(times)):
        running.clients.open(who, path, other)


def closes(running, who, _rest, _expected):
    """closes: in order, and is told so"""
    running.clients.last(who).send_close()
    running.clients.last(who).read_close()


def says(running, who, rest, _expected):
    """says TEXT"""
    running.clients.last(who).send_text(rest)


def hears(running, who, rest, _expected):
    """hears TEXT"""
    heard = running.clients.last(who).read_message()
    assert heard == rest, heard


def worker_stopped(running, who, _rest, _expected):
    """worker_stopped: frozen by a signal, until worker_goes_on"""
    running.clients.stop_worker(who)


def worker_goes_on(running, who, _rest, _expected):
    """worker_goes_on"""
    running.clients.continue_worker(who)


def worker_killed(running, who, _rest, _expected):
    """worker_killed"""
    running.clients.kill_worker(who)


STEPS = {step.__name__: step for step in
         (read, stop_reading, send, receive, keep, kept, drain, soon, takes, limit, new_channel, differs, ends, flush,
          counted, group_add, group_discard, group_send,
          group_members, connections, listed, begin, asleep, end, killed,
          opens, closes, says, hears, worker_stopped, worker_goes_on, worker_killed)}


def run(case, running):
    """Carries out a case; a failure names the step."""
    assert case.steps, "a case without steps says nothing"
    for line in case.steps:
        match = LINE.fullmatch(line)
        assert match and match["verb"] in STEPS, f"no step: {line}"
        try:
            STEPS[match["verb"]](running, match["who"], match["rest"].strip(), match["expected"])
        except AssertionError as error:
            raise AssertionError(f"at `{line}`: {error}") from None
