"""Signs and delivers callbacks in every format and charset: in time, late, twice or out of order.

Source: smsc-api.md section 2.
"""

import hashlib
import json
import random
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, urlsplit
from xml.sax.saxutils import escape

CODECS = {"windows-1251": "cp1251", "utf-8": "utf-8", "koi8-r": "koi8-r"}
SIGNED = {
    "call": ("phone", "ts"),
    "sms": ("phone", "mes", "to"),
    "status": ("id", "phone", "status"),
}
DELIVERY_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Handler:
    """Callback handler, as registered in the account's settings."""

    url: str
    secret: str
    hash: str = "sha1"
    form: str = "form"
    charset: str = "utf-8"
    further: tuple[tuple[str, str], ...] = ()
    """Parameters of the registered URL that come back as fields of each callback."""
    in_query: tuple[str, ...] = ()
    """Names of the fields that travel in the query string."""


def registered(handler: Handler) -> Handler:
    """Read the parameters of a handler's URL as it is registered: ``https://host/path!a=1?charset=utf-8&md5=SECRET``.

    Those after ``?`` come back as fields, those after ``!`` in the query string. A secret is replaced by the hash.
    """
    if "!" in handler.url:
        url, _, parameters = handler.url.partition("!")
        in_query, _, in_body = parameters.partition("?")
    else:
        url, _, in_body = handler.url.partition("?")
        in_query = ""
    queried, posted = (parse_qsl(each, keep_blank_values=True) for each in (in_query, in_body))
    given = dict(queried + posted)
    name = next((each for each in ("md5", "sha1", "crc32") if each in given), None)
    return replace(
        handler,
        url=url,
        secret=given[name] if name else handler.secret,
        hash=name or handler.hash,
        form={"2": "xml", "3": "json"}.get(given.get("fmt", ""), handler.form),
        charset=given.get("charset", handler.charset),
        further=tuple((each, value) for each, value in given.items() if each != name),
        in_query=tuple(each for each, _ in queried),
    )


@dataclass(frozen=True)
class Delivery:
    """HTTP method, query fields, delay and number of copies of one callback."""

    method: str = "POST"
    in_query: tuple[str, ...] = ()
    delay_seconds: float = 0.0
    copies: int = 1


def digest(handler: Handler, kind: str, fields: dict[str, str]) -> str:
    """Compute the hash that signs a callback."""
    codec = CODECS[handler.charset]
    parts = [fields[name].encode(codec) for name in SIGNED[kind]]
    text = b":".join([*parts, handler.secret.encode()])
    if handler.hash == "crc32":
        return str(zlib.crc32(text))
    return hashlib.new(handler.hash, text).hexdigest()


def write(handler: Handler, delivery: Delivery, fields: dict[str, str]) -> urllib.request.Request:
    """Create the HTTP request of one callback."""
    codec = CODECS[handler.charset]
    names = set(fields) if delivery.method == "GET" else {*delivery.in_query, *handler.in_query}
    query = _form({n: v for n, v in fields.items() if n in names}, codec)
    rest = {n: v for n, v in fields.items() if n not in names}
    if handler.form == "json":
        body, content_type = json.dumps(rest, ensure_ascii=False).encode(codec), "application/json"
    elif handler.form == "xml":
        children = "".join(f"<{n}>{escape(v)}</{n}>" for n, v in rest.items())
        text = f'<?xml version="1.0" encoding="{handler.charset}"?><message>{children}</message>'
        body, content_type = text.encode(codec), "text/xml"
    else:
        body, content_type = _form(rest, codec).encode(), "application/x-www-form-urlencoded"
    url = f"{handler.url}?{query}" if query else handler.url
    return urllib.request.Request(  # noqa: S310  the one URL given at start, checked to be http(s)
        url,
        data=None if delivery.method == "GET" else body,
        headers={"Content-Type": content_type},
        method=delivery.method,
    )


class Dialler:
    """Delivers callbacks to the registered handler and records each attempt in the ledger."""

    def __init__(
        self,
        handler: Handler,
        record: Callable[[dict[str, Any]], None],
        rng: random.Random,
        *,
        calm: bool,
    ) -> None:
        if urlsplit(handler.url).scheme not in ("http", "https"):
            raise ValueError("The handler must be an http(s) URL.")
        self.handler = registered(handler)
        self._record = record
        self._rng = rng
        self._calm = calm

    def temper(self, delivery: Delivery) -> Delivery:
        """Imitate the real network: deliver one callback in twenty twice, and one in ten a second late."""
        if self._calm:
            return delivery
        copies = delivery.copies + (self._rng.random() < 0.05)
        delay = delivery.delay_seconds + (1.0 if self._rng.random() < 0.1 else 0.0)
        return Delivery(delivery.method, delivery.in_query, delay, copies)

    def send(
        self,
        handler: Handler,
        delivery: Delivery,
        kind: str,
        fields: dict[str, str],
    ) -> list[dict[str, Any]]:
        """Sign and deliver a callback. Return its ledger entries, or none if the delivery is delayed."""
        signed = (
            fields
            | dict(handler.further)
            | {"charset": handler.charset, handler.hash: digest(handler, kind, fields)}
        )
        request = write(handler, delivery, signed)
        if delivery.delay_seconds > 0:
            timer = threading.Timer(delivery.delay_seconds, self._deliver, (request, kind, delivery.copies))
            timer.daemon = True
            timer.start()
            return []
        return self._deliver(request, kind, delivery.copies)

    def _deliver(self, request: urllib.request.Request, kind: str, copies: int) -> list[dict[str, Any]]:
        sent = []
        for _ in range(copies):
            status, body = exchange(request)
            data = request.data if isinstance(request.data, bytes) else b""
            entry = {
                "door": "callback",
                "kind": kind,
                "method": request.get_method(),
                "url": request.full_url,
                "body": data.decode("latin-1"),
                "status": status,
                "answer": body,
            }
            self._record(entry)
            sent.append(entry)
        return sent


def _form(fields: dict[str, str], codec: str) -> str:
    return "&".join(f"{name}={quote_from_bytes(value.encode(codec))}" for name, value in fields.items())


def exchange(
    request: urllib.request.Request, seconds: float = DELIVERY_TIMEOUT_SECONDS
) -> tuple[int | None, str]:
    """Send a request. Return the status and the first 1000 bytes of the answer, or None and the error's name.

    ``seconds``: time to wait for the answer.
    """
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:  # noqa: S310  its own addresses
            return response.status, response.read(1000).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(1000).decode("utf-8", "replace")
    except OSError as error:
        return None, type(error).__name__
