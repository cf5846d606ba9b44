"""List every function that reads bytes of strangers, with the inputs that take it longest, and read them all.

``python -m tests.integration.strangers`` prints ``ready``, waits for a line, and then reads every input. Each is read
between two system calls at which callgrind starts and stops counting for test_linear_time.py.
"""

import gc
import logging
import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from gunicorn.config import Config
from gunicorn.http import RequestParser
from werkzeug.test import create_environ

from tests.own_calls import TELNYX_KEY, TWILIO_ACCOUNT, TWILIO_TOKEN, TWILIO_URL, public
from tests.wsgi import ask
from waitcall.adapters.http import callbacks, own_callbacks
from waitcall.adapters.http import hosted_page as page
from waitcall.adapters.http.app import CALLBACK_BODY_BYTES, create_app
from waitcall.adapters.http.auth import ApiKeys
from waitcall.adapters.http.blueprint import PARSER
from waitcall.adapters.http.body import LowPriorityQueue, read_body
from waitcall.adapters.http.languages import Catalogues
from waitcall.adapters.http.schemas import CreateRequest
from waitcall.adapters.providers.sip.callback import SipCallbackDecoder
from waitcall.adapters.providers.smsc.callback import SmscCallbackDecoder
from waitcall.adapters.providers.smsru.callback import SmsruCallbackDecoder
from waitcall.adapters.providers.telnyx.callback import TelnyxCallbackDecoder
from waitcall.adapters.providers.twilio.callback import TwilioCallbackDecoder
from waitcall.adapters.telemetry.logging import MaskingJsonFormatter
from waitcall.application.hosted_page import ReadPage
from waitcall.domain.errors import NotFound
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Brand

Input = Callable[[int], bytes]
JSON_TYPE = "application/json"
LOCALES = Path(page.__file__).parent / "locales"
TOKEN = b"/p/" + b"0" * 56


@dataclass(frozen=True)
class Entry:
    """A function that reads bytes of strangers.

    Attributes:
        reached: part of a request through which a stranger reaches it.
        read: the function. Its errors are ignored.
        worst: the slowest inputs by name, each made for a given number of bytes.
        sizes: both sizes of the inputs in bytes. If the size is limited, the larger one is the limit.
    """

    reached: str
    read: Callable[[bytes], object]
    worst: Mapping[str, Input]
    sizes: tuple[int, int] = (16_384, 65_536)


def filled(piece: bytes, head: bytes = b"", tail: bytes = b"") -> Input:
    """Return a function that makes an input of one piece, repeated as often as it fits."""
    return lambda size: head + piece * ((size - len(head) - len(tail)) // len(piece)) + tail


def numbered(piece: bytes, head: bytes = b"", tail: bytes = b"") -> Input:
    """Return a function that makes an input of different pieces. ``#`` becomes the number of the piece.

    The numbers depend on the size, so that the smaller input has no piece of the larger one.
    """

    def make(size: int) -> bytes:
        pieces = (piece.replace(b"#", b"%x" % (size * 100 + each)) for each in count())
        room = size - len(head) - len(tail)
        lengths = 0
        fitting = []
        for each in pieces:
            lengths += len(each)
            if lengths > room:
                return b"".join((head, *fitting, tail))
            fitting.append(each)
        raise AssertionError

    return make


FORM = {
    "separators": filled(b"&"),
    "empty fields": filled(b"=&"),
    "fields": numbered(b"f#=1&"),
    "escaped fields": numbered(b"%66#=1&"),
    "one field, escaped": filled(b"%41", b"mes="),
    "escapes that are none": filled(b"%", b"mes="),
    "escapes cut short": filled(b"%4", b"mes="),
    "escapes, some cut short": filled(b"%41%4", b"mes="),
    "plus signs": filled(b"+", b"mes="),
    "equals signs": filled(b"="),
    "a field again and again": filled(b"a=1&"),
    "a long name": filled(b"a"),
    "a long phone": filled(b"1", b"waitcall=1&ts=1&phone="),
    "a long hash": filled(b"A", b"waitcall=1&ts=1&phone=1&sha1="),
    "a long text with a hash": filled(b"\xff", b"sha1=1&phone=1&to=1&mes="),
    "a long charset": filled(b"A", b"charset="),
}
XML = {
    "spaces inside": filled(b" ", b"<a>", b"</a>"),
    "spaces before": filled(b" ", b"", b"<a/>"),
    "lines before": filled(b"\n", b"", b"<?xml version='1.0'?><a/>"),
    "lines inside": filled(b"\n", b"<a><b>", b"</b></a>"),
    "carriage returns inside": filled(b"\r", b"<a><b>", b"</b></a>"),
    "a declaration that never ends": filled(b" ", b"<?xml "),
    "declarations": filled(b"<?xml encoding="),
    "encodings": filled(b" encoding='a'", b"<?xml "),
    "open elements": filled(b"<a>"),
    "nested elements": lambda size: b"<a>" * (size // 7) + b"</a>" * (size // 7),
    "elements": numbered(b"<a#/>", b"<r>", b"</r>"),
    "long names": numbered(b"<" + b"a" * 300 + b"#/>", b"<r>", b"</r>"),
    "one long name": lambda size: b"<r><%s></%s></r>" % (b"a" * (size // 2 - 6), b"a" * (size // 2 - 6)),
    "attributes": numbered(b'a#="" ', b"<r ", b"/>"),
    "the same attribute": filled(b'a="" ', b"<r ", b"/>"),
    "attributes of many elements": numbered(b'<a a#="" b#="" c#=""/>', b"<r>", b"</r>"),
    "namespaces": numbered(b'xmlns:a#="b" ', b"<r ", b"/>"),
    "a long namespace": lambda size: (
        b'<r xmlns="' + b"u" * (size // 2) + b'">' + b"<a/>" * (size // 8) + b"</r>"
    ),
    "a long namespace of elements": lambda size: (
        b'<r xmlns:p="' + b"u" * (size // 2) + b'">' + b"<p:a/>" * min(size // 12, 390) + b"</r>"
    ),
    "a long namespace of attributes": lambda size: (
        b'<r xmlns:p="'
        + b"u" * (size // 2)
        + b'"'
        + b"".join(b' p:a%x=""' % each for each in range(size // 24))
        + b"/>"
    ),
    "comments": filled(b"<!---->", b"<r>", b"</r>"),
    "a long comment": filled(b"- ", b"<r><!--", b"--></r>"),
    "processing instructions": filled(b"<?a?>", b"<r>", b"</r>"),
    "CDATA": filled(b"<![CDATA[]]>", b"<r>", b"</r>"),
    "brackets": filled(b"]", b"<r><a>", b"</a></r>"),
    "references to characters": filled(b"&#65;", b"<r><a>", b"</a></r>"),
    "references in an attribute": filled(b"&lt;", b"<r a='", b"'/>"),
    "ampersands": filled(b"&amp;", b"<r><a>", b"</a></r>"),
    "entities": filled(b'<!ENTITY a "b">', b"<!DOCTYPE a [", b"]><a/>"),
    "entities in entities": numbered(b'<!ENTITY a# "&a;&a;">', b"<!DOCTYPE a [", b"]><a/>"),
    "an attribute that never ends": filled(b"a", b"<r a='"),
    "bytes that are no UTF-8": filled(b"\xff", b"<r><a>", b"</a></r>"),
    "Cyrillic": filled("Ж".encode(), b"<r><a>", b"</a></r>"),
    "NUL": filled(b"\x00", b"<r>"),
    "marks of byte order": filled(b"\xef\xbb\xbf"),
}
JSON = {
    "brackets": filled(b"["),
    "brackets in a field": filled(b"[", b'{"a":'),
    "braces": filled(b'{"a":'),
    "nested and closed": filled(b"[" * 500 + b"]" * 500 + b",", b'{"a":[', b"1]}"),
    "fields": numbered(b'"f#":1,', b"{", b'"a":1}'),
    "fields with quotes that hide": numbered(b'"f#\\\\":1,', b"{", b'"a":1}'),
    "a field again and again": filled(b'"a":1,', b"{", b'"a":1}'),
    "numbers": filled(b"1,", b'{"a":[', b"1]}"),
    "texts": filled(b'"",', b'{"a":[', b"1]}"),
    "arrays": filled(b"[],", b'{"a":[', b"1]}"),
    "objects": filled(b"{},", b'{"a":[', b"1]}"),
    "constants": filled(b"NaN,", b'{"a":[', b"1]}"),
    "digits": filled(b"9", b'{"a":', b"}"),
    "digits behind a point": filled(b"9", b'{"a":1.', b"}"),
    "digits of an exponent": filled(b"9", b'{"a":1e', b"}"),
    "escapes": filled(b"\\u0416", b'{"a":"', b'"}'),
    "escaped quotes": filled(b'\\"', b'{"a":"', b'"}'),
    "halves of surrogates": filled(b"\\ud800", b'{"a":"', b'"}'),
    "spaces": filled(b" ", b"{", b"}"),
    "a text that never ends": filled(b"a", b'{"'),
    "Cyrillic": filled("Ж".encode(), b'{"a":"', b'"}'),
}
PART = b'--x\r\nContent-Disposition: form-data; name="'


def part(piece: bytes, before: bytes = b"Content-Disposition: form-data; ") -> Input:
    """Return a function that makes one part of a form with many pieces in its head."""
    return filled(piece, b"--x\r\n" + before, b"\r\n\r\n1\r\n--x--\r\n")


MULTIPART = {
    "no boundary": filled(b"a"),
    "line ends": filled(b"\r\n"),
    "hyphens": filled(b"-"),
    "beginnings of boundaries": filled(b"\r\n--"),
    "boundaries": filled(b"--x\r\n"),
    "boundaries with something behind": filled(b"\r\n--x y"),
    "boundaries with spaces behind": filled(
        b"\r\n--x" + b" " * 100 + b"y", PART + b'a"\r\n\r\n', b"\r\n--x--"
    ),
    "parts": numbered(PART + b'f#"\r\n\r\n\r\n', b"", b"--x--"),
    "files": numbered(PART + b'f#"; filename="#"\r\n\r\n\r\n', b"", b"--x--"),
    "parts without names": filled(b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n", b"", b"--x--"),
    "a long value": filled(b"a", PART + b'hash"\r\n\r\n', b"\r\n--x--"),
    "a value of line ends": filled(b"\r\n", PART + b'data"\r\n\r\n', b"\r\n--x--"),
    "a value of carriage returns": filled(b"\r", PART + b'data"\r\n\r\n', b"\r\n--x--"),
    "a long head": part(b"a"),
    "options": part(b"a=b; "),
    "different options": numbered(
        b"a#=b; ", b"--x\r\nContent-Disposition: form-data; ", b"\r\n\r\n1\r\n--x--"
    ),
    "options with an encoding": numbered(
        b"a#*=utf-8''%41; ", b"--x\r\nContent-Disposition: form-data; ", b"\r\n\r\n1\r\n--x--"
    ),
    "options in pieces": numbered(
        b"a*#=b; ", b"--x\r\nContent-Disposition: form-data; ", b"\r\n\r\n1\r\n--x--"
    ),
    "semicolons": part(b";"),
    "quotes": part(b'"'),
    "escaped quotes": part(b'\\"', b'Content-Disposition: form-data; name="'),
    "backslashes": part(b"\\", b'Content-Disposition: form-data; name="'),
    "an escaped name": part(b"%41", b"Content-Disposition: form-data; name*=utf-8''"),
    "spaces": part(b" ", b"Content-Disposition: form-data; name="),
    "heads": numbered(b"a#: b\r\n", b"--x\r\n", b"\r\n\r\n1\r\n--x--"),
    "folded lines": part(b"\r\n ", b"Content-Disposition: form-data"),
    "a charset": part(b"u", b"Content-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset="),
}
OPTIONS = {
    "semicolons": filled(b";", b"multipart/form-data"),
    "options": numbered(b"a#=b;", b"multipart/form-data;"),
    "quotes": filled(b'\\"', b'multipart/form-data; boundary="'),
    "spaces": filled(b" ", b"multipart/form-data;", b"boundary=x"),
    "a boundary": filled(b"-", b"multipart/form-data; boundary="),
    "a boundary like a pattern": filled(b"(a*)*", b"multipart/form-data; boundary="),
}
WISHES = {
    "languages": numbered(b"x-#,"),
    "long languages": numbered(b"en-x-" + b"aaaaaaaa-" * 9 + b"#,"),
    "subtags": filled(b"-aaaaa", b"en"),
    "extensions": filled(b"-a-bb", b"en"),
    "commas": filled(b","),
    "quotes": filled(b'"'),
    "weights": filled(b";q=1", b"de"),
    "a long weight": filled(b"0", b"de;q=0."),
    "stars": filled(b"*,"),
}
ADDRESSES = {
    "addresses": filled(b"192.0.2.1,"),
    "commas": filled(b","),
    "colons": filled(b":"),
    "brackets": filled(b"["),
    "quotes": filled(b'"'),
    "digits": filled(b"1"),
    "spaces": filled(b" "),
    "zones": filled(b"%a", b"fe80::1"),
}
TEXT = {"letters": filled(b"a"), "high bytes": filled(b"\xff"), "spaces": filled(b" "), "dots": filled(b".")}
PATHS = {
    "slashes": filled(b"/"),
    "segments": filled(b"/a"),
    "pages": filled(b"/p"),
    "a token": filled(b"0", b"/p/"),
    "escapes": filled(b"%41", b"/p/"),
    "escaped slashes": filled(b"%2f", b"/p/"),
    "high bytes": filled(b"%ff", b"/p/"),
    "a status": filled(b"a", b"/p/", b"/status"),
    "assets": filled(b"../", b"/p/assets/"),
}
QUERIES = {
    "separators": filled(b"&"),
    "waits": filled(b"wait=1&"),
    "a long wait": filled(b"9", b"wait="),
    "a long channel": filled(b"a", b"channel="),
    "languages": filled(b"lang=ru&"),
    "a long language": filled(b"-aaaaa", b"lang=en"),
    "escapes": filled(b"%41", b"lang="),
    "escapes that are none": filled(b"%", b"lang="),
}
LINES = {
    "digits": filled(b"9"),
    "digits in sixes": filled(b"999999 "),
    "plus signs": filled(b"+"),
    "beginnings of numbers": filled(b"+7 999 "),
    "spaces behind a plus": filled(b" ", b"+7"),
    "five spaced digits": filled(b"+7    9    9    9    9    "),
    "escaped spaces": filled(b"%20", b"%2B7"),
    "hexadecimal": filled(b"0a1b2c3d"),
    "beginnings of ids": filled(b"ver_0a1b2c3d"),
    "31 hexadecimal digits": filled(b"a" * 31 + b" "),
    "backslashes": filled(b"\\"),
    "high bytes": filled(b"\xff"),
    "hard spaces": filled("\u00a0".encode(), b"+7"),
}
NUMBERS = {
    "digits": filled(b"9", b"+"),
    "plus signs": filled(b"+"),
    "brackets": filled(b"("),
    "hyphens": filled(b"-", b"+7"),
    "hyphens and digits": filled(b"-9", b"+7"),
    "marks that nobody sees": filled("\u200b".encode(), b"+7999"),
    "full width": filled("９".encode()),
    "something else at the end": filled(b"9 ", b"+7", b"x"),
    "parameters of tel:": filled(b";a", b"tel:+79991234567"),
    "a context of tel:": filled(b"-9", b"tel:9;phone-context=+7"),
}


class Nobody:
    """Stand-in for observers and use cases that ignores every call."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Empty(ReadPage):
    """Use cases of the hosted page that find no page."""

    def __init__(self) -> None:
        pass

    def look(self, *_: object) -> Any:
        raise NotFound


_smsc = SmscCallbackDecoder("sha1", ["s3cr3t-key_1", "an-older-secret_0"])
_smsru = SmsruCallbackDecoder(["sim-smsru-api-id-0001", "sim-smsru-api-id-0002"])
_now = partial(datetime.now, UTC)
_twilio = TwilioCallbackDecoder(TWILIO_ACCOUNT, [TWILIO_TOKEN, "f" * 32], f"{TWILIO_URL}#rc=2", _now)
_telnyx = TelnyxCallbackDecoder([b64decode(public(TELNYX_KEY))] * 2, _now)
_sip = SipCallbackDecoder(["a" * 32, "b" * 32], _now)
_nobody: Any = Nobody()
_own = own_callbacks.OwnCallbacks(_nobody, _nobody, LowPriorityQueue())
_public = create_app(
    "callback",
    [
        callbacks.blueprint(_nobody, _nobody, _smsc, _nobody, LowPriorityQueue()),
        callbacks.orders_blueprint(_nobody, _smsru, _nobody, LowPriorityQueue()),
        own_callbacks.twilio_blueprint(_own, _twilio),
        own_callbacks.telnyx_blueprint(_own, _telnyx, None),
        own_callbacks.sip_blueprint(_own, _sip),
        page.blueprint(
            Empty(),
            Catalogues([LOCALES]),
            Brand("A", "#123456", None),
            _now,
            LowPriorityQueue(),
        ),
    ],
    max_body_bytes=CALLBACK_BODY_BYTES,
    keys=ApiKeys({"0" * 64: "web"}, {}),
    observer=_nobody,
    metrics=_nobody,
    trusted_hosts=["ours.example"],
    trusted_hops=1,
)
_limits = Config()
for _name in ("limit_request_line", "limit_request_field_size"):
    _limits.set(_name, 8190)
_limits.set("limit_request_fields", 64)
_formatter = MaskingJsonFormatter()
_CREATE = CreateRequest()


def _with_header(name: str, value: bytes, target: bytes = TOKEN, method: str = "GET") -> object:
    return ask(_public, method, target, {"Host": "ours.example", name: value.decode("latin-1")}, b"")


def _own_header(door: str, content_type: str, name: str, value: bytes) -> object:
    headers = {"Host": "ours.example", "Content-Type": content_type, name: value.decode("latin-1")}
    return ask(_public, "POST", f"/callbacks/{door}".encode(), headers, b"{}")


def _telnyx_body(body: bytes) -> object:
    """Read a body whose signature has its form and is wrong."""
    return _telnyx.decode_event(body, b64encode(bytes(64)).decode(), str(int(_now().timestamp())))


def _line(value: bytes) -> str:
    record = logging.LogRecord("x", logging.INFO, "", 0, value.decode("utf-8", "replace"), None, None)
    return _formatter.format(record)


def _json_body(body: bytes) -> object:
    with _public.test_request_context(method="POST", data=body, content_type="application/json"):
        return PARSER.parse(_CREATE)


def _create(field: str, value: bytes) -> object:
    return _CREATE.load({"phone_number": "+79991234567", "purpose": "login", field: value.decode("latin-1")})


def _request(raw: bytes) -> object:
    """Read a request with gunicorn's parser, in pieces as large as it reads from a socket."""
    pieces = (raw[at : at + 8192] for at in range(0, len(raw), 8192))
    request = next(RequestParser(_limits, pieces, ("192.0.2.1", 1)))
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": request.body, "wsgi.input_terminated": True}
    with _public.request_context(create_environ(method="POST") | chunked):
        return read_body()


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
REQUESTS = {
    "chunks of one byte": filled(b"1\r\na\r\n", CHUNKED, b"0\r\n\r\n"),
    "chunks with extensions": filled(b"1;a=b\r\na\r\n", CHUNKED, b"0\r\n\r\n"),
    "an extension": filled(b"a", CHUNKED + b"1;"),
    "trailers": numbered(b"A#: b\r\n", CHUNKED + b"0\r\n", b"\r\n"),
}
HEADS = {
    "headers": numbered(b"A#: b\r\n", HEAD, b"\r\n"),
    "long headers": numbered(b"A#: " + b"b" * 2000 + b"\r\n", HEAD, b"\r\n"),
    "a header": filled(b"a", HEAD + b"A: "),
    "a request line": filled(b"a", b"GET /"),
}
_ONE_HEADER = (2_048, 8_190)
ENTRIES = {
    "form at /callbacks/smsc": Entry("body", partial(_smsc.decode, b""), FORM),
    "query at /callbacks/smsc": Entry(
        "request line", lambda query: _smsc.decode(query, b""), FORM, _ONE_HEADER
    ),
    "XML at /callbacks/smsc": Entry("body", partial(_smsc.decode, b""), XML),
    "JSON at /callbacks/smsc": Entry("body", partial(_smsc.decode, b""), JSON),
    "multipart at /callbacks/smsc": Entry(
        "body", lambda body: _smsc.decode(b"", body, "multipart/form-data; boundary=x"), MULTIPART
    ),
    "form at /callbacks/smsru": Entry("body", _smsru.decode, FORM),
    "multipart at /callbacks/smsru": Entry(
        "body", lambda body: _smsru.decode(body, "multipart/form-data; boundary=x"), MULTIPART
    ),
    "form at /callbacks/twilio": Entry("body", lambda body: _twilio.decode(b"", body, "A" * 27 + "="), FORM),
    "body at /callbacks/telnyx": Entry("body", _telnyx_body, FORM | JSON),
    "body at /callbacks/sip": Entry("body", lambda body: _sip.decode(body, "A" * 43), FORM | JSON),
    "X-Twilio-Signature": Entry(
        "header", partial(_own_header, "twilio", own_callbacks.FORM, "X-Twilio-Signature"), TEXT, _ONE_HEADER
    ),
    "telnyx-signature-ed25519": Entry(
        "header", partial(_own_header, "telnyx", JSON_TYPE, "telnyx-signature-ed25519"), TEXT, _ONE_HEADER
    ),
    "telnyx-timestamp": Entry(
        "header", partial(_own_header, "telnyx", JSON_TYPE, "telnyx-timestamp"), TEXT | NUMBERS, _ONE_HEADER
    ),
    "X-Waitcall-Signature": Entry(
        "header", partial(_own_header, "sip", JSON_TYPE, "X-Waitcall-Signature"), TEXT, _ONE_HEADER
    ),
    "Content-Type": Entry(
        "header", lambda value: _smsru.decode(b"a" * 65_000, value.decode("latin-1")), OPTIONS, _ONE_HEADER
    ),
    "Accept-Language": Entry("header, repeated", partial(_with_header, "Accept-Language"), WISHES),
    "X-Forwarded-For": Entry("header, repeated", partial(_with_header, "X-Forwarded-For"), ADDRESSES),
    "X-Forwarded-Host": Entry(
        "header, repeated", partial(_with_header, "X-Forwarded-Host"), ADDRESSES | TEXT
    ),
    "X-Forwarded-Proto": Entry("header, repeated", partial(_with_header, "X-Forwarded-Proto"), ADDRESSES),
    "Authorization": Entry(
        "header, repeated", partial(_with_header, "Authorization"), TEXT | {"key": filled(b"a", b"Bearer ")}
    ),
    "X-Request-ID": Entry("header, repeated", partial(_with_header, "X-Request-ID"), TEXT),
    "Cookie": Entry(
        "header, repeated", partial(_with_header, "Cookie"), TEXT | {"cookies": numbered(b"a#=b; ")}
    ),
    "Host": Entry("header", partial(_with_header, "Host"), TEXT | ADDRESSES, _ONE_HEADER),
    "path": Entry(
        "request line", lambda path: ask(_public, "GET", path, {"Host": "ours.example"}), PATHS, _ONE_HEADER
    ),
    "query at /p/TOKEN": Entry(
        "request line", lambda query: _with_header("X", b"", TOKEN + b"?" + query), QUERIES, _ONE_HEADER
    ),
    "query at /p/TOKEN/status": Entry(
        "request line",
        lambda query: _with_header("X", b"", TOKEN + b"/status?" + query),
        QUERIES,
        _ONE_HEADER,
    ),
    "chunked body": Entry("connection", _request, REQUESTS),
    # gunicorn reads a whole head again with each piece, so the cost is not linear. It is bounded at 64 pieces.
    "head": Entry("connection", _request, HEADS, (64 * 8190, 64 * 8190)),
    "log line": Entry("whatever is logged", _line, LINES),
    "phone_number": Entry(
        "typed by a person, sent by a client",
        lambda text: E164.parse(text.decode("utf-8", "replace"), "RU"),
        NUMBERS,
        (240, 16_384),
    ),
    "locale": Entry("from a browser, sent by a client", partial(_create, "locale"), WISHES, (4_096, 16_384)),
    "client_ip": Entry(
        "from a connection, sent by a client", partial(_create, "client_ip"), ADDRESSES, (4_096, 16_384)
    ),
    "JSON at the API": Entry("body, of a client", _json_body, JSON, (4_096, 16_384)),
}
PATTERNS = {
    "adapters/http/app.py": {r"[A-Za-z0-9._-]{1,128}": "X-Request-ID"},
    "adapters/http/schemas.py": {r"f'[0-9]{{{CODE_DIGITS}}}\\Z'": "JSON at the API"},
    "adapters/redis/cause.py": {r"[0-9]{3}|[:{}@/*]": "no stranger: error texts of Redis"},
    "adapters/redis/limits.py": {
        r"([a-z]):([0-9]{1,12})": "no stranger: names that the store made",
        r"[0-9]{1,12}": "no stranger: counts that the store made",
    },
    "adapters/redis/keys.py": {r"ver_([0-9a-f]{24})([0-9a-f]{40})": "no stranger: needs a key"},
    "adapters/providers/smsc/callback.py": {
        r"[0-9]{1,10}": "form at /callbacks/smsc",
        r"[0-9]{1,15}": "form at /callbacks/smsc",
        r"\+?([0-9]{1,15})": "form at /callbacks/smsc",
    },
    "adapters/providers/sip/callback.py": dict.fromkeys(
        [
            r"[^\x00-\x1f\x7f\ud800-\udfff]{1,1000}",
            r"[A-Za-z0-9_-]{16,64}",
            r"\+[1-9][0-9]{6,14}",
        ],
        "no stranger: the proxy's signature was right",
    ),
    "adapters/providers/telnyx/callback.py": {
        r"[0-9]{1,10}": "telnyx-timestamp",
        **dict.fromkeys(
            [
                r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})",
                r"\+[1-9][0-9]{6,14}",
                r"[!-~]{1,256}",
            ],
            "no stranger: the provider's signature was right",
        ),
    },
    "adapters/providers/twilio/callback.py": dict.fromkeys(
        [
            (
                r"(?!.*(?:(?:From|To|Caller|Called)(?:City|State|Zip|Country|Name)|ForwardedFrom|AccountSid|ApiVersion|Direction|Call[STe]|Stir|Sip[A-Z]))"
                r"[^\x00-\x1f\x7f]{0,300}"
            ),
            r"[a-z-]{1,30}",
            r"AC[0-9a-f]{32}",
            r"CA[0-9a-f]{32}",
            r"\+[1-9][0-9]{6,14}",
            r"AccountSid(AC[0-9a-f]{32})",
            r"CallSid(CA[0-9a-f]{32})",
            r"CallStatus([a-z-]+)",
            r"Direction(inbound|outbound[a-z-]*)",
            r"(?<!Forwarded)From(\+[0-9]*|(?![A-Z]))",
            r"To(\+[0-9]*)",
        ],
        "no stranger: the provider's signature was right",
    ),
    "adapters/providers/smsru/callback.py": {
        r"[0-9]{1,10}": "no stranger: the provider's hash was right",
        r"data(\[\w*\])?": "form at /callbacks/smsru",
    },
    "adapters/telemetry/logging.py": {
        r"%2[0Bb]|\D": "log line",
        r"'(?:[+\\uff0b]|%2[Bb])' + _BEHIND_THE_PLUS": "log line",
        r"(ver_)[0-9a-f]{16,}|[0-9a-f]{32,}": "log line",
        r"\d{7,}": "log line",
    },
    "application/effects.py": {r"[0-9]{7}": "no stranger: 128 characters that were checked"},
    "application/read_report.py": dict.fromkeys(
        [
            '=?[\'\\"]?([0-9]{1,20})\\"?',
            "[,(:].*",
            "[,.]",
            "[^0-9]*?(-?[0-9][0-9.,]*)[^0-9]*",
            "[\u0430-\u044f\u0451][\u0410-\u042f\u0401]",
            "f\"(?:{'|'.join(TOTALS)})\\\\w*[\\\\s:.=]*\"",
        ],
        "no stranger: an operator's file",
    ),
    "domain/hosted_page.py": {
        r"[A-Za-z0-9\-._~:/?@!$&'()*+,;=%]+": "no stranger: needs a key, and has 1000 characters",
        r"[0-9a-f]{56}": "path",
    },
    "domain/limits.py": {
        r"([1-9][0-9]{0,8})/([1-9][0-9]{0,4})?([smhd])(?: (enforce|record_only))?": "no stranger: the policy"
    },
    "domain/lists.py": {r"\+[1-9][0-9]{0,13}": "no stranger: an operator's key"},
    "domain/matching.py": {r"[\W_]": "no stranger: texts that the provider signed"},
    "domain/numbers.py": {
        r"[ ().\-/\[\]]*+\+*+[0-9 ().\-/\[\]]++": "phone_number",
        r"\+521([0-9]{10})": "phone_number",
        r"\+549?([1-3][0-9]{9})": "phone_number",
        r"\+8([0-9]{10})": "no stranger: numbers that the provider signed",
        r"\+[1-9][0-9]{6,14}": "no stranger: numbers that the provider signed",
        r"\+(1[2-9][0-9]{2}55501[0-9]{2}|61491570(006|110|15[6-9])"
        r"|33(19900|26191|35301|46571|53649)[0-9]{4}|467017406(0[5-9]|[1-9][0-9]))": "no stranger: the policy",
    },
}
"""Every pattern of the modules that strangers reach, as written there, with the entry that feeds it."""

CASES = [(name, case) for name, entry in ENTRIES.items() for case in entry.worst]


def main() -> None:
    """Make all inputs, read smaller ones so that everything is loaded, then read them between the system calls."""
    logging.disable()
    gc.disable()
    inputs = [[ENTRIES[name].worst[case](size) for size in ENTRIES[name].sizes] for name, case in CASES]

    def read(name: str, given: bytes) -> None:
        with suppress(Exception):
            ENTRIES[name].read(given)

    for name, case in CASES:
        read(name, ENTRIES[name].worst[case](ENTRIES[name].sizes[0] // 4))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for (name, _), sizes in zip(CASES, inputs, strict=True):
        for given in sizes:
            # callgrind starts to count at the first of these system calls, and saves the count at the second.
            os.getpgrp()
            read(name, given)
            os.getppid()


if __name__ == "__main__":
    main()
