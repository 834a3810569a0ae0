#!/usr/bin/python3
"""tools/bench/requests.py -- what the shape of a request costs: heads, forms, large bodies; beside nginx.

A head: the bare GET, then one with 20 more headers, cookies and a query, of which Sluice tells its consumer all
by Django's rules; nginx answers both by itself (return 200). A form: 64 KiB, urlencoded; Sluice parses it, or
with --forms raw does not, nginx reads it and drops it. A body: one of --mib up, and one down, on one
connection; nginx passes them on to body_upstream.py, whose CPU counts as a consumer's does. How figures are
taken: rounds.py. Every server has the first CPU, with all its processes; the load has the last.
"""

import argparse
import tempfile
from pathlib import Path

import loads
from rounds import GIB, REQUESTS, Case, add_options, begin, run
from servers import LAST, BodyUpstream, Nginx, NginxProxying, Sluice, SluiceBench

QUERY = "/?q=a+longer+query&page=2&sort=price&filter=blue%20green&lang=en"
COOKIES = "; ".join(f"{name}={name * 5}" for name in ("session", "theme", "cart", "lang", "seen"))
# What a browser sends, and a proxy adds.
HEADERS = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"), ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cookie", COOKIES), ("Referer", "http://bench.example/a/page/before"), ("Origin", "http://bench.example"),
    ("DNT", "1"), ("Sec-GPC", "1"), ("Upgrade-Insecure-Requests", "1"), ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-User", "?1"), ("Priority", "u=0, i"),
    ("Cache-Control", "max-age=0"), ("If-None-Match", 'W/"5e1a-18c7d3a2b40"'),
    ("X-Requested-With", "XMLHttpRequest"), ("X-Request-Id", "7b1c1f1e-5d0a-4c0e-9a43-0d3b5f0c2b11"),
    ("X-Forwarded-Proto", "http")]
FORM_FIELDS, FORM_BYTES = 640, 64 * 1024
FORM = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.body = "{body}"
"""


def form():
    """The body of the form: fields of equal length, escapes in each."""
    escaped = "+%C3%A9%20x"
    plain = FORM_BYTES // FORM_FIELDS - len("&" + escaped)
    return "&".join(f"field{number}=".ljust(plain, "v") + escaped for number in range(FORM_FIELDS))


def cases(options, script):
    """Every shape on every server."""
    nginx, sluice = Nginx(), Sluice(options.build)
    shapes = [("the bare GET", "/", ()), (f"{len(HEADERS)} headers, cookies, a query", QUERY, HEADERS)]
    for title, target, headers in shapes:
        for server in (nginx, sluice):
            yield Case(f"A head, {options.connections} connections: {title}", REQUESTS, server.name, server,
                       lambda _, s=server, t=target, h=headers: loads.wrk(s, options.connections, options.seconds, LAST, t, h),
                       reference=server is nginx)
    parsing, raw = [SluiceBench(options.build, ["--max-body", "16G", *more]) for more in ([], ["--forms", "raw"])]
    for name, server in ((f"{nginx.name}, read and dropped", nginx), ("Sluice, parsed", parsing), ("Sluice, --forms raw", raw)):
        yield Case(f"An urlencoded form of {len(form()):,} bytes, {FORM_FIELDS} fields, {options.connections} connections",
                   REQUESTS, name, server,
                   lambda _, s=server: loads.wrk(s, options.connections, options.seconds, LAST, script=script),
                   reference=server is nginx)
    proxy, alone = NginxProxying(), BodyUpstream()
    proxying = [("nginx proxying, its defaults", proxy, "/defaults")]
    streamed = [("nginx, proxy_request_buffering off", proxy, "/unbuffered")]
    others = [("Sluice", parsing, ""), (alone.name, alone, "")]
    for title, path, upload, ways in (("up", "/take", True, streamed + proxying), ("down", "/pour", False, proxying)):
        for name, server, prefix in ways + others:
            yield Case(f"A body of {options.mib:,} MiB {title}", GIB, name, server,
                       lambda _, s=server, t=prefix + path, u=upload: loads.body(s, options.mib, LAST, t, u),
                       reference=name == ways[0][0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, rounds=3, seconds=2, patience=3, retries=1)
    parser.add_argument("--connections", type=int, default=64, help="of heads and forms")
    parser.add_argument("--mib", type=int, default=1024, help="of a large body")
    options = begin(parser, ["requests"], "nginx and Sluice with one worker each, Sluice with one consumer")

    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        script = Path(folder) / "form.lua"
        script.write_text(FORM.format(body=form()), encoding="ascii")
        run(cases(options, script), options)


if __name__ == "__main__":
    main()
