"""What Django makes of the bytes of a request, in the shape our messages have.

Django is asked as a WSGI server would ask it; META's headers come from its ASGI request, which
takes them from the wire. Where the message reference departs from the Django installed, this module
does, too, and says so: names with `_` and Proxy are dropped, Cookie fields join by "; ", a content
type may be written in any case.
"""
import io
import re
import urllib.parse
import warnings

warnings.simplefilter("ignore")

from django.conf import settings  # noqa: E402

settings.configure(USE_I18N=False, DEBUG=False)

from django.core.exceptions import (  # noqa: E402
    RequestDataTooBig,
    TooManyFieldsSent,
)
from django.core.handlers.asgi import ASGIRequest  # noqa: E402
from django.core.handlers.wsgi import WSGIRequest  # noqa: E402
from django.http.multipartparser import (  # noqa: E402
    MultiPartParserError,
    TooManyFilesSent,
)
from django.utils.datastructures import MultiValueDict  # noqa: E402

_appendlist = MultiValueDict.appendlist


def _recording_appendlist(self, key, value):
    self.__dict__.setdefault("in_order", []).append((key, value))
    _appendlist(self, key, value)


# A MultiValueDict groups by name; our lists keep the order of arrival, so that is compared as well.
MultiValueDict.appendlist = _recording_appendlist


def _in_order(values):
    return [list(pair) for pair in values.__dict__.get("in_order", [])]


def _environ(**more):
    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "",
               "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO()}
    environ.update(more)
    return environ


def _latin1(value):
    return value.decode("latin-1")


def _refusal(error):
    if isinstance(error, (TooManyFieldsSent, TooManyFilesSent)):
        return {"error": "too many form fields"}
    if isinstance(error, RequestDataTooBig):
        return {"error": "form too large"}
    # A LookupError or a ValueError is a content type or a charset that Django trips over (500).
    if isinstance(error, (MultiPartParserError, LookupError, ValueError)):
        return {"error": "malformed form"}
    raise error


def query(case):
    try:
        return {"GET": _in_order(WSGIRequest(_environ(QUERY_STRING=_latin1(case["query"]))).GET)}
    except Exception as error:
        return _refusal(error)


def cookie(case):
    values = [value for name, value in case["headers"] if name.lower() == b"cookie"]
    return {"COOKIES": WSGIRequest(_environ(HTTP_COOKIE=_latin1(b"; ".join(values)))).COOKIES}


def _lower_type(content_type):
    kind, semicolon, rest = content_type.partition(";")
    return kind.lower() + semicolon + rest


def form(case):
    request = WSGIRequest(_environ(
        **{"REQUEST_METHOD": _latin1(case["method"]),
           "CONTENT_TYPE": _lower_type(_latin1(case["content_type"])),
           "CONTENT_LENGTH": str(len(case["body"])),
           "wsgi.input": io.BytesIO(case["body"])}))
    try:
        post, files = request.POST, request.FILES
    except Exception as error:
        return _refusal(error)
    return {
        "POST": _in_order(post),
        "FILES": [{"name": name, "filename": file.name, "content_type": file.content_type,
                   "content": file.read()} for name, file in _in_order(files)],
    }


def _kept(headers):
    """The headers that META has, Cookie fields joined."""
    kept, cookie_at = [], None
    for name, value in headers:
        name = name.lower()
        if b"_" in name or name == b"proxy":
            continue
        if name == b"cookie" and cookie_at is not None:
            kept[cookie_at] = (name, kept[cookie_at][1] + b"; " + value)
            continue
        if name == b"cookie":
            cookie_at = len(kept)
        kept.append((name, value))
    return kept


def head(case):
    # What a WSGI server does: decodes the path once, and takes the script's name off it.
    script_name = _latin1(case["script_name"])
    path = urllib.parse.unquote(_latin1(case["raw_path"]), "latin-1")
    if script_name and path.startswith(script_name):
        below = path[len(script_name):]
        if not below or below[0] == "/" or script_name[-1] == "/":
            path = below
    method = _latin1(case["method"])
    wsgi = WSGIRequest(_environ(REQUEST_METHOD=method, SCRIPT_NAME=script_name, PATH_INFO=path,
                                QUERY_STRING=_latin1(case["query"])))
    asgi = ASGIRequest({"type": "http", "method": method, "path": "/", "query_string": b"",
                        "headers": _kept(case["headers"]), "client": ("192.0.2.7", 50123),
                        "server": ("example.org", 8000)}, io.BytesIO())
    meta = {key: value for key, value in asgi.META.items() if not key.startswith("wsgi.")}
    for key in "PATH_INFO", "SCRIPT_NAME", "QUERY_STRING":
        meta[key] = wsgi.META[key]
    meta["REMOTE_PORT"] = str(meta["REMOTE_PORT"])
    meta["SERVER_PROTOCOL"] = "HTTP/1.1"
    return {"META": meta, "path": wsgi.path, "path_info": wsgi.path_info,
            "headers": [[name.lower(), value] for name, value in case["headers"]]}


def _unchunked(rest):
    """The data of a chunked body; extensions and trailers are nobody's."""
    data = b""
    while True:
        line, rest = rest.split(b"\r\n", 1)
        size = int(line.split(b";")[0], 16)
        if size == 0:
            return data
        data, rest = data + rest[:size], rest[size + 2:]


def request(case):
    """A well-formed request as bytes: read here as plainly as can be, then given to Django in parts."""
    top, rest = case["bytes"].split(b"\r\n\r\n", 1)
    lines = top.split(b"\r\n")
    method, target, version = lines[0].split(b" ")
    headers = [[name, value.strip(b" \t")]
               for name, value in (line.split(b":", 1) for line in lines[1:])]
    first = {name.lower(): value for name, value in reversed(headers)}
    if not target.startswith(b"/") and target != b"*":  # absolute: it names the host (RFC 9112, 3.2.2)
        authority, target = re.fullmatch(rb"\w+://([^/?]*)(.*)", target).groups()
        headers = [[name, authority if name.lower() == b"host" else value] for name, value in headers]
        target = target if target.startswith(b"/") else b"/" + target
    raw_path, _, query_string = target.partition(b"?")
    body = rest
    if first.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = _unchunked(rest)
    message = {
        "method": _latin1(method), "raw_path": raw_path, "query_string": query_string,
        "scheme": "http", "http_version": _latin1(version[5:]), "client": ["192.0.2.7", 50123],
        "server": ["example.org", 8000], "root_path": case["root_path"].decode(),
        "response_channel": "http.response.1-1!2.3.4",
    }
    content_type = first.get(b"content-type", b"")
    # Who waits for a 100 with a body of unknown length gets it when the message is taken.
    if first.get(b"expect") == b"100-continue" and b"transfer-encoding" in first and method != b"POST":
        message.update(body_channel="http.request.body?1-1.2.3.4", more_content=True)
    elif body:
        message["body"] = body
    for part in (query({"query": query_string}), cookie({"headers": headers}),
                 form({"method": method, "content_type": content_type, "body": body}),
                 head({"method": method, "script_name": case["root_path"], "raw_path": raw_path,
                       "query": query_string, "headers": headers})):
        if "error" in part:
            status = 413 if part["error"] == "form too large" else 400
            return {"messages": [], "answers": [status]}
        message.update(part)
    message["META"]["SERVER_PROTOCOL"] = _latin1(version)
    return {"messages": [message], "answers": []}


PARSE = {"query": query, "cookie": cookie, "form": form, "head": head, "request": request}


def parse(case):
    return PARSE[case["kind"]](case)
