"""The examples of the message reference, each with what it must give."""


def query(text, *pairs):
    return {"kind": "query", "query": text}, {"GET": [list(pair) for pair in pairs]}


def cookie(text, **cookies):
    cookies = {name.replace("empty", ""): value for name, value in cookies.items()}
    return {"kind": "cookie", "headers": [[b"Cookie", text]]}, {"COOKIES": cookies}


def too_many(kind, **more):
    return {"kind": kind, **more}, {"error": "too many form fields"}


VECTORS = [
    query(b""),
    query(b"a=1;b=2", ("a", "1;b=2")),
    query(b"a", ("a", "")),
    query(b"=b", ("", "b")),
    query(b"=", ("", "")),
    query(b"&&a=1", ("a", "1")),
    query(b"a=%C3%28", ("a", "\ufffd(")),
    query(b"a=+b%2B", ("a", " b+")),
    query(b"a=b=c", ("a", "b=c")),
    query(b"a%00=1", ("a\0", "1")),
    query(b"a=%zz", ("a", "%zz")),
    query(b"a=\xe9&b=\xc3\xa9", ("a", "é"), ("b", "Ã©")),
    query(b"a=\xc3\xa9", ("a", "é")),
    too_many("query", query=b"&" * 1000),
    cookie(b"x", empty="x"),
    cookie(b"=y", empty="y"),
    cookie(b'a="b;c"', a='"b', empty='c"'),
    cookie(b'a="b\\054c"', a="b,c"),
    cookie(b'a="b\\"c"', a='b"c'),
    cookie(b'a="\\777"', a="777"),
    cookie(b'a="', a='"'),
    cookie(b'a=""', a=""),
    cookie(b"a=%20b", a="%20b"),
    cookie(b"a=1; a=2", a="2"),
    ({"kind": "form", "method": b"PUT", "content_type": b"application/x-www-form-urlencoded",
      "body": b"a=1"}, {"POST": [], "FILES": []}),
    ({"kind": "form", "method": b"POST", "content_type": b"Application/x-www-form-urlencoded; x=y",
      "body": b"a=1&a=2"}, {"POST": [["a", "1"], ["a", "2"]], "FILES": []}),
    ({"kind": "form", "method": b"POST", "body": b"",
      "content_type": b"multipart/form-data; boundary=" + b"x" * 202}, {"error": "malformed form"}),
    ({"kind": "form", "method": b"POST", "content_type": b'multipart/form-data; boundary="x "',
      "body": b""}, {"error": "malformed form"}),
    ({"kind": "form", "method": b"POST", "content_type": b"multipart/form-data; boundary=b",
      "body": b'--b\r\nContent-Disposition: form-data; name="f"; '
              b'filename="C:\\a&amp;b/c\\d&#46;txt"\r\n'
              b'Content-Type: Text/Plain\r\nContent-Transfer-Encoding: base64\r\n\r\n'
              b'aGk=\r\n--b--\r\n'},
     {"POST": [], "FILES": [{"name": "f", "filename": "d.txt", "content_type": "text/plain",
                             "content": b"hi"}]}),
]
