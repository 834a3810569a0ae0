"""tests/browser/test_chat.py -- windows of a real browser talk to each other through the gateway."""

import json

CONNECTED = "document.getElementById('status').dataset.state === 'open'"


def heard(page, text):
    """What is shown of the last message with that text: author, and whether it is shown as one's own."""
    return page.wait_for(f"""(() => {{
        const said = [...document.querySelectorAll('.said')]
            .filter((one) => one.querySelector('.text').textContent === {json.dumps(text)}).at(-1);
        return said && {{who: said.querySelector('b').textContent, own: said.classList.contains('own')}};
    }})()""")


def is_here(page, *names):
    """Waits until exactly these are shown as present."""
    page.wait_for("JSON.stringify([...document.querySelectorAll('#here li span:last-child')]"
                  f".map((one) => one.textContent)) === {json.dumps(json.dumps(sorted(names), separators=(',', ':')))}")


def join(browser, url, name):
    """A window of somebody who gave the name in the address."""
    page = browser.open(f"{url}/chat?name={name}")
    page.wait_for(CONNECTED)
    return page


def say(page, text):
    """Types a line and sends it with Enter."""
    page.click("#text")
    page.type(text)
    page.press_enter()


def close(*pages):
    """Closes windows, so that the next test meets nobody of this one."""
    for page in pages:
        page.call("Page.close")


def test_two_windows_talk_to_each_other(browser, url):
    ann = browser.open(f"{url}/chat")
    ann.wait_for("document.getElementById('ask').open")
    ann.type("Ann")
    ann.click("#join button")
    ann.wait_for(CONNECTED)
    bob = join(browser, url, "Bob")
    is_here(ann, "Ann", "Bob")
    is_here(bob, "Ann", "Bob")

    say(ann, "Hello, Bob")
    assert heard(bob, "Hello, Bob") == {"who": "Ann", "own": False}
    assert heard(ann, "Hello, Bob") == {"who": "You", "own": True}
    bob.click("#text")
    bob.type("Hello, Ann \u2603")
    bob.click("#send")
    assert heard(ann, "Hello, Ann \u2603") == {"who": "Bob", "own": False}

    assert not ann.complaints() and not bob.complaints()
    close(bob)
    is_here(ann, "Ann")
    close(ann)


def test_what_is_said_is_shown_as_text(browser, url):
    eve, ann = join(browser, url, "%3Cb%3EEve%3C/b%3E"), join(browser, url, "Ann")
    attack = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"

    say(eve, attack)

    assert heard(ann, attack) == {"who": "<b>Eve</b>", "own": False}
    assert ann.evaluate("document.title + document.querySelectorAll('#log img, #log script').length") == "Sluice chat0"
    close(eve, ann)


def test_killing_a_demo_consumer_disturbs_no_window(browser, gateway):
    url = f"http://{gateway.host}:{gateway.port}"
    pages = [join(browser, url, name) for name in ("Ann", "Bob", "Cem")]
    for page in pages:
        page.evaluate("socket.addEventListener('close', () => { window.wasClosed = true; })")
        is_here(page, "Ann", "Bob", "Cem")

    for turn in range(2):
        before = gateway.wait_role("demo consumer", 2)
        gateway.kill("demo consumer", turn)
        for number, page in enumerate(pages):
            text = f"{number} still speaks after {turn + 1}"
            say(page, text)
            for listener in pages:
                assert heard(listener, text)["own"] == (listener is page)
        gateway.wait_role("demo consumer", 2, but_not=[before[turn]])

    assert not any(page.evaluate("window.wasClosed") for page in pages)
    close(*pages)


def test_windows_of_a_killed_worker_come_back_by_themselves(browser, gateway):
    url = f"http://{gateway.host}:{gateway.port}"
    pages = [join(browser, url, name) for name in ("Ann", "Bob")]
    for page in pages:
        page.evaluate("socket.addEventListener('close', () => { window.closes = (window.closes || 0) + 1; })")

    killed = [gateway.kill("worker", 1), gateway.kill("worker", 0)]  # by pid: what comes new comes last
    gateway.wait_role("worker", 2, but_not=killed)
    for page in pages:
        page.wait_for(f"window.closes && {CONNECTED}", seconds=30)
    is_here(pages[0], "Ann", "Bob")
    say(pages[0], "back again")

    assert heard(pages[1], "back again") == {"who": "Ann", "own": False}
    close(*pages)
