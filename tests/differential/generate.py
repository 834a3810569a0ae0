"""Inputs for the differential test: pieces that mean something to a parser, put together at random.

Everything comes from one seed, so a difference can be looked at again.
"""
import base64

ESCAPES = [b"%20", b"%2B", b"%26", b"%3D", b"%C3%A9", b"%c3", b"%C3%28", b"%E2%82%AC", b"%e2%82",
           b"%F0%9F%98%80", b"%f0%9f%98", b"%ff", b"%FE", b"%ed%a0%80", b"%c0%80", b"%f4%90%80%80",
           b"%00", b"%zz", b"%", b"%4", b"%%41", b"%+1", b"%25", b"%2525", b"%0a", b"%E2%80%A8"]
RAW = ["é".encode(), "€".encode(), "😀".encode(), b"\xff", b"\xc3", b"\xe2\x82", b"\xa0",
       b"\x85", b"\xed\xa0\x80", b"\xf0\x9f", "\u3000".encode(), "\u2028".encode(), b"\xc2\xa0",
       b"\xc2\x85"]
PLAIN = [b"a", b"b", b"name", b"value", b"x1", b"+", b"=", b"&", b";", b"-", b".", b"_", b" ", b'"',
         b"\\", b",", b"/", b"//", b"q", b"0", b"~", b"\t"]


class Generator:
    def __init__(self, random):
        self.random = random

    def some(self, pool, most):
        return b"".join(self.random.choice(pool) for _ in range(self.random.randrange(most + 1)))

    def noise(self, most):
        return self.random.randbytes(self.random.randrange(most + 1))

    def sprinkle(self, data):
        """Changes a byte or two, now and then."""
        if not data or self.random.random() < 0.7:
            return data
        data = bytearray(data)
        for _ in range(self.random.randrange(1, 3)):
            at = self.random.randrange(len(data))
            how = self.random.randrange(3)
            if how == 0:
                data[at] = self.random.randrange(256)
            elif how == 1:
                del data[at:at + 1]
            else:
                data.insert(at, self.random.randrange(256))
            if not data:
                break
        return bytes(data)

    def words(self, most=6):
        kind = self.random.randrange(8)
        if kind < 3:
            return self.some([b"a", b"b", b"name", b"value", b"x1"], 2)
        if kind < 5:
            return self.some(PLAIN[:6] + ESCAPES, most)
        if kind < 6:
            return self.some(PLAIN + RAW, most)
        if kind < 7:
            return self.some(PLAIN + ESCAPES + RAW, most)
        return self.noise(8)

    def query_string(self):
        if self.random.random() < 0.01:  # around the bound on fields
            return b"&".join([b"a=1"] * self.random.choice([998, 999, 1000, 1001, 1002]))
        if self.random.random() < 0.005:
            return b"&" * self.random.choice([998, 999, 1000, 1001])
        pieces = []
        for _ in range(self.random.randrange(6)):
            joint = self.random.choice([b"=", b"=", b"=", b"=", b"", b"=="])
            pieces.append(self.words() + joint + self.words())
        return self.sprinkle(self.random.choice([b"&", b"&", b"&", b"&&", b";"]).join(pieces))

    def query(self):
        return {"kind": "query", "query": self.query_string()}

    def cookie_value(self):
        if self.random.random() < 0.5:
            return self.words()
        inner = self.some([b"a", b"\\054", b"\\377", b"\\400", b"\\777", b"\\012", b"\\\\", b'\\"',
                           b"\\", b"\\\xc3\xa9", b" ", b"=", b"\\8", b"\\1", b"\\200", b"\n", b'"',
                           "é".encode(), b"\xff", b"%20", b","], 5)
        return b'"' + inner + (b'"' if self.random.random() < 0.9 else b"")

    def cookie_header(self):
        if self.random.random() < 0.005:  # past the few that need no sorting
            return b";".join(b"%d=x" % self.random.randrange(60) for _ in range(100))
        space = [b"", b" ", b" ", b"\t", b"  ", b"\xc2\xa0", "\u3000".encode(), b"\x1f", b"\xa0"]
        pieces = []
        for _ in range(self.random.randrange(6)):
            piece = self.random.choice(space) + self.words(3)
            if self.random.random() < 0.85:
                piece += b"=" + self.random.choice(space) + self.cookie_value()
            pieces.append(piece + self.random.choice(space))
        return self.sprinkle(b";".join(pieces))

    def cookie(self):
        count = self.random.choice([1, 1, 1, 1, 2, 3, 0])
        name = [b"Cookie", b"cookie", b"COOKIE", b"Cookie", b"Cookies", b"X-Cookie"]
        return {"kind": "cookie",
                "headers": [[self.random.choice(name), self.cookie_header()] for _ in range(count)]}

    def urlencoded(self):
        types = [b"application/x-www-form-urlencoded"] * 6 + [
            b"application/x-www-form-urlencoded; a=b", b"Application/X-WWW-Form-URLencoded",
            b"application/x-www-form-urlencoded ;x", b"text/plain", b"", b"application/json",
            b'"application/x-www-form-urlencoded"', b"\x1fapplication/x-www-form-urlencoded\xa0"]
        body = self.query_string()
        if self.random.random() < 0.002:  # around the bound on bytes
            body = b"a=" + b"x" * (2621440 - 2 + self.random.randrange(-1, 2))
        return {"kind": "form", "method": self.random.choice([b"POST"] * 8 + [b"PUT", b"GET"]),
                "content_type": self.random.choice(types), "body": body}

    def path(self):
        pieces = [b"/", b"/", b"//", b"a", b"app", b"b.html", b"+", b"%2F", b"%2f", b"..", b"*",
                  b"%3F", b"~", b":"] + ESCAPES + RAW
        begin = self.random.choice(
            [b"/", b"/", b"/", b"//", b"/app", b"/app/", b"/apple", b"", b"*"])
        return begin + self.some(pieces, 6)

    def head(self):
        names = [b"Host", b"Accept", b"Cookie", b"cookie", b"Content-Type", b"content-length",
                 b"X-Forwarded-For", b"x-forwarded-for", b"Proxy", b"proxy", b"X_Under", b"X-A_b",
                 b"User-Agent", b"DNT", b"X-1", b"x!#$%&'*+.^`|~", b"Proxy-", b"-", b"X--Y",
                 b"Content_Type", b"CONTENT-TYPE", b"Accept-Language",
                 b"X-%d" % self.random.randrange(999)]
        values = [b"", b"a", b"text/html, */*;q=0.8", b"\xe9t\xe9", b"12", b"\xc3\xa9", b"a,b",
                  b"; ", b"multipart/form-data; boundary=x", b"\x80\xff",
                  b"x" * self.random.randrange(300)]
        many = 100 if self.random.random() < 0.05 else 3
        count = self.random.choice([0, 1, 3, 5, 8, 8, 12, many])
        headers = [[self.random.choice(names), self.random.choice(values)] for _ in range(count)]
        scripts = [b"", b"", b"", b"/app", b"/app/", b"/", "/é".encode()]
        return {"kind": "head",
                "method": self.random.choice([b"GET", b"POST", b"OPTIONS", b"M-SEARCH"]),
                "script_name": self.random.choice(scripts),
                "raw_path": self.path(), "query": self.query_string()[:400], "headers": headers}

    # ---- whole requests ----

    def request(self):
        """The bytes of a request that a server must take, framed in any of the ways there are."""
        form = self.multipart() if self.random.random() < 0.3 else self.urlencoded()
        body = form["body"][:3000] if self.random.random() < 0.6 else b""
        kept = bytes(range(0x21, 0x23)) + bytes(range(0x24, 0x7f))
        path = b"/" + bytes(c for c in self.path()[:200] if c in kept and c != 0x3f)
        query = bytes(c for c in self.query_string()[:400] if c in kept)
        target = path + (b"?" + query if self.random.random() < 0.7 else b"")
        version = b"HTTP/1.1"
        if self.random.random() < 0.1:
            target = self.random.choice([b"http://", b"HTTPS://"]) + b"example.com:80" + target
        elif self.random.random() < 0.1:
            version = b"HTTP/1.0"
        skipped = {b"host", b"content-type", b"content-length"}
        fields = [field for field in self.head()["headers"][:40] if field[0].lower() not in skipped]
        fields += [[b"Cookie", self.cookie_header()] for _ in range(self.random.randrange(3))]
        fields.append([b"hOsT", b"example.net"])
        content_type = bytes(c for c in form["content_type"] if c >= 0x20 and c != 0x7f)
        if content_type and self.random.random() < 0.9:
            fields.append([b"content-Type", content_type])
        method = form["method"]
        if version == b"HTTP/1.1" and self.random.random() < 0.4:
            fields.append([b"Transfer-Encoding", self.random.choice([b"chunked", b"Chunked"])])
            body = self.chunked(body)
        elif body or self.random.random() < 0.5:
            fields.append([b"Content-Length", b"%d" % len(body)])
        self.random.shuffle(fields)
        lines = [name + b":" + self.random.choice([b" ", b"", b"\t ", b" "]) +
                 bytes(c for c in value if (c >= 0x20 and c != 0x7f) or c == 9) +
                 self.random.choice([b"", b"", b"", b" \t"]) for name, value in fields]
        top = b"\r\n".join([b" ".join([method, target, version])] + lines)
        return {"kind": "request", "bytes": top + b"\r\n\r\n" + body,
                "root_path": self.random.choice([b"", b"", b"/app", "/\u00e9".encode()]),
                "step": self.random.choice([0, 0, 1, 2, 13, 700])}

    def chunked(self, body):
        out = b""
        while body:
            size = self.random.choice([1, 2, 16, 100, len(body)])
            piece, body = body[:size], body[size:]
            out += self.random.choice([b"%x", b"%X", b"%08x"]) % len(piece)
            out += self.random.choice([b"", b"", b"", b";a", b";a=b;c", b';a="b\\";"'])[:20]
            out += b"\r\n" + piece + b"\r\n"
        trailers = [b"", b"", b"", b"X-Sum: 1\r\n", b"Host: evil\r\nCookie: a=evil\r\n"]
        return out + b"0\r\n" + self.random.choice(trailers) + b"\r\n"

    # ---- multipart ----

    def parameter_value(self, plain):
        how = self.random.randrange(6)
        if how < 3:
            return b'"' + plain + b'"'
        if how == 3:
            return plain
        if how == 4:
            return b'"' + plain.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        return b'  "' + plain + b'" '

    def extended_value(self):
        charset = self.random.choice([b"UTF-8", b"utf-8", b"utf8", b"ISO-8859-1", b"latin-1",
                                      b"us-ascii", b"iso 8859  1", b"", b"no-such", b"\xff"])
        quote = self.random.choice([b"'", b"'", b"'", b"'", b"''"])
        return (charset + quote + self.random.choice([b"", b"en"]) + b"'" +
                self.some([b"a", b"%20", b"%C3%A9", b"%e9", b"%ff", b".txt", b"%2F", "é".encode(),
                           b"%"], 4))

    def file_name(self):
        return self.some([b"a", b"photo", b".jpg", b".tar.gz", b"/", b"\\", b"..", b".", b"&amp;",
                          b"&lt;", b"&#47;", b"&#x2f;", b"&#92", b"&eacute", b"&notit;", b"&bogus;",
                          b"&#128;", b"&#0;", b"&#xD800;", b"&#1;", b"&#65534;", b"&#", b"&",
                          b"&CounterClockwiseContourIntegral;", b"&NotEqualTilde;", b"&ltx",
                          b"&#131071;", b" ", b"'", b";", "é".encode(), b"\xff", b"&#13;",
                          b"&ampersand" + b"y" * 40, b"n" * self.random.choice([3, 130, 260]),
                          b"." + b"e" * self.random.choice([3, 300])], 4)

    def disposition(self):
        pieces = [b"Content-Disposition: form-data"]
        if self.random.random() < 0.95:
            pieces.append(b"name=" + self.parameter_value(self.some(
                [b"a", b"b", b"field", b" ", b";", b"'", b"\\", "é".encode(), b"\xff", b"\\\\"],
                3)))
        if self.random.random() < 0.08:
            pieces.append(b"name*=" + self.extended_value())
        if self.random.random() < 0.4:
            pieces.append(b"filename=" + self.parameter_value(self.file_name()))
        if self.random.random() < 0.08:
            pieces.append(b"filename*=" + self.extended_value())
        if self.random.random() < 0.05:
            pieces.append(self.some(PLAIN + RAW, 3))
        return self.random.choice([b"; ", b"; ", b";", b" ; "]).join(pieces)

    def part_headers(self):
        lines = []
        if self.random.random() < 0.96:
            lines.append(self.disposition())
        if self.random.random() < 0.3:
            lines.append(b"Content-Type: " + self.random.choice(
                [b"text/plain", b"Image/PNG", b"text/plain; charset=utf-8", b"", b"\xff/\xff",
                 b'a;b="c;d"']))
        base64_coded = False
        if self.random.random() < 0.2:
            coding = self.random.choice(
                [b"base64", b"BASE64", b" base64 ", b"binary", b"base64; x=y"])
            lines.append(b"Content-Transfer-Encoding: " + coding)
            base64_coded = b"base64" in coding.lower()
        if self.random.random() < 0.1:
            lines.append(self.random.choice(
                [b"X-Other: 1", b"no colon", b": empty", b"Content-Length: 3",
                 b"content-disposition : form-data; name=a", b"X: " + b"y" * 900,
                 b"Content-Disposition: attachment", b"\xff: x"]))
        if self.random.random() < 0.1:
            self.random.shuffle(lines)
        return lines, base64_coded

    def part_content(self, boundary, base64_coded):
        if base64_coded and self.random.random() < 0.9:
            data = base64.b64encode(self.noise(24))
            how = self.random.randrange(6)
            if how == 0:
                data = data.rstrip(b"=")
            elif how == 1:
                data = data[:4] + b"\r\n" + data[4:]
            elif how == 2:
                data += self.some([b"=", b"A", b"!", b" ", b"-"], 3)
            return data
        return self.random.choice([
            self.words(), self.noise(40), b"", b"\r\n", b"a\r\nb", b"\n", b"\r", b"-" * 5,
            b"\r\n--" + boundary[:-1] + b"\r\n", b"\r\n-" + boundary,
            b"x" * self.random.randrange(3000),
            b"tail\r\n\r\n", b"a\r\n\r\nContent-Disposition: form-data; name=z\r\n\r\nq"])

    def content_type_of(self, boundary):
        value = self.random.choice([boundary, b'"' + boundary + b'"'])
        return self.random.choice(
            [b"multipart/form-data; boundary=" + value] * 12 +
            [b"Multipart/Form-Data; Boundary=" + value,
             b"multipart/form-data;boundary=" + value + b"; x=y", b"multipart/form-data",
             b"multipart/form-data; boundary=",
             b"multipart/form-data; boundary*=utf-8''" + boundary,
             b"multipart/form-data; boundary=\xe9", b"multipart/mixed; boundary=" + value])

    def multipart(self):
        boundaries = [b"b", b"----WebKitFormBoundaryAbC123", b"x y", b"'()+_,-./:=?", b"a" * 70,
                      b"--", b"x"]
        if self.random.random() < 0.1:
            boundaries += [b"a" * self.random.choice([199, 200, 201, 202]), b"end ", b"\x7f"]
        boundary = self.random.choice(boundaries)
        count = self.random.choice([0, 1, 1, 2, 3, 4, 6])
        small = False
        if self.random.random() < 0.006:  # around the bounds on fields and files
            count = self.random.choice([99, 100, 101, 998, 999, 1000, 1001, 1002, 1003])
            small = True
        body = bytearray(self.random.choice([b""] * 9 + [b"preamble\r\n", b"\r\n"]))
        one = self.random.choice([b"; name=a", b"; name=a; filename=b"])
        any_base64 = False
        for _ in range(count):
            body += b"--" + boundary + b"\r\n"
            if small:
                body += b"Content-Disposition: form-data" + one + b"\r\n\r\n1\r\n"
                continue
            lines, base64_coded = self.part_headers()
            any_base64 |= base64_coded
            body += b"\r\n".join(lines) + b"\r\n\r\n"
            body += self.part_content(boundary, base64_coded) + b"\r\n"
        body += b"--" + boundary + self.random.choice(
            [b"--\r\n"] * 8 + [b"--", b"", b"\r\n", b"--\r\nepilogue"])
        body = bytes(body) if small else self.sprinkle(bytes(body))
        if self.random.random() < 0.05:
            body = body[:self.random.randrange(len(body) + 1)]
        # Two things depend on Django's buffers, not on the bytes. It skips the rest of a part
        # it leaves unread only as far as its buffer of 64 KiB reaches; large_multipart() has larger
        # bodies. And it decodes the base64 of a file without an end in two pieces, past 1024 bytes.
        return {"kind": "form", "method": b"POST", "content_type": self.content_type_of(boundary),
                "body": body[:1000 if any_base64 else 60000]}

    def large_multipart(self):
        boundary = b"----large"
        body = bytearray()
        for index in range(self.random.randrange(1, 6)):
            body += b"--" + boundary + b'\r\nContent-Disposition: form-data; name="n%d"' % index
            if self.random.random() < 0.6:
                body += b'; filename="f%d.bin"\r\nContent-Type: application/octet-stream' % index
            size = self.random.choice([65536, 65535, 131072, 70000, 300000, 65536 - 100])
            content = self.random.randbytes(size + self.random.randrange(-300, 300))
            if self.random.random() < 0.3:
                body += b"\r\nContent-Transfer-Encoding: base64"
                content = base64.encodebytes(content)
            body += b"\r\n\r\n" + content + b"\r\n"
        body += b"--" + boundary + b"--\r\n"
        return {"kind": "form", "method": b"POST",
                "content_type": b"multipart/form-data; boundary=" + boundary, "body": bytes(body)}
