"""Minimal apps on the service's stack: the floors that benchmarks/endpoints.py compares the service with.

They run under the same gunicorn and the same configuration file, with the same Redis and the same provider.
"""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

import hiredis
import phonenumbers
from flask import Flask, Response, request
from marshmallow import Schema, fields, validate
from redis import Redis

SCRIPT = """
local stored = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return stored
"""
KEPT_MS = 60_000

STEP = "return redis.call('GET', KEYS[1])"
STEPS = {"/bare_create": 3, "/bare_read": 1, "/bare_callback": 1, "/bare_consume": 1}
_PIECE_BYTES = 65536
# Typed Any because hiredis declares commands of one word only.
_packed: Any = hiredis.pack_command


class Asked(Schema):
    """Body of floor F3, with about as many fields as a create."""

    phone_number = fields.String(required=True, validate=validate.Length(1, 40))
    purpose = fields.String(required=True, validate=validate.Length(1, 64))
    reference = fields.String(validate=validate.Length(1, 128))


class Answered(Schema):
    """Answer of floor F3, with about as many fields as the answer to a create."""

    phone_number = fields.String()
    purpose = fields.String()
    reference = fields.String()
    status = fields.String()
    call = fields.Dict()


class _Sockets:
    """Pool of open sockets to one address. The socket that was used last is used first."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._idle: list[socket.socket] = []

    def ask(self, request: bytes, read: Callable[[socket.socket], Any]) -> Any:
        try:
            sock = self._idle.pop()
        except IndexError:
            sock = self._opened()
        sock.send(request)
        answer = read(sock)
        self._idle.append(sock)
        return answer

    def _opened(self) -> socket.socket:
        if self._url.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self._url.path)
            return sock
        sock = socket.create_connection((self._url.hostname or "", self._url.port or 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


def _of_redis(sock: socket.socket) -> Any:
    reader = hiredis.Reader(notEnoughData=...)
    while (answer := reader.gets()) is ...:
        reader.feed(sock.recv(_PIECE_BYTES))
    return answer


def _of_provider(sock: socket.socket) -> bytes:
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += sock.recv(_PIECE_BYTES)
    at = received.index(b"Content-Length: ") + 16
    length = int(received[at : received.index(b"\r", at)])
    while len(received) < end + 4 + length:
        received += sock.recv(_PIECE_BYTES)
    return received[end + 4 :]


class Bare:
    """WSGI middleware that answers our requests without doing their work: no Flask, no redis-py, no HTTP client.

    It makes as many round trips to Redis as the service and orders from the provider where the service does, over sockets
    that stay open. It checks nothing and handles no errors, so every app under gunicorn costs at least this much.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._redis = _Sockets(os.environ["WAITCALL_REDIS_URL"])
        digest = hashlib.sha1(STEP.encode(), usedforsecurity=False).hexdigest()
        self._step = _packed(("EVALSHA", digest, 1, "floor"))
        self._load = _packed(("SCRIPT", "LOAD", STEP))
        self._is_loaded = False
        url = os.environ["WAITCALL_SMSC_URLS"]
        self._provider = _Sockets(url)
        self._head = f"POST {urlsplit(url).path}/wait_call.php HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        self._account = {"apikey": os.environ["WAITCALL_SMSC_APIKEY"], "fmt": "3"}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in STEPS:
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer
        if not self._is_loaded:
            self._redis.ask(self._load, _of_redis)
            self._is_loaded = True
        asked = environ["wsgi.input"].read() if environ["REQUEST_METHOD"] == "POST" else b""
        for _ in range(STEPS[path]):
            found = self._redis.ask(self._step, _of_redis)
            if isinstance(found, Exception):
                raise found
        body, status = b"{}", "200 OK"
        if path == "/bare_create":
            body, status = self._ordered(json.loads(asked)["phone_number"]), "201 Created"
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _ordered(self, phone_number: str) -> bytes:
        fields = urlencode(self._account | {"phone": phone_number.lstrip("+")})
        head = f"{self._head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(fields)}\r\n\r\n"
        body: bytes = self._provider.ask((head + fields).encode(), _of_provider)
        if b'"phone"' not in body:
            raise RuntimeError(f"The provider said {body!r}.")
        return body


def create_app() -> Flask:
    """Create the app of the floors. :class:`Bare` answers the ``/bare_…`` paths in front of it.

    F1 does nothing, F2 reads one key, F3 uses marshmallow, phonenumbers and one script.
    """
    app = Flask("floors", static_folder=None)
    redis = Redis.from_url(os.environ["WAITCALL_REDIS_URL"], protocol=2)
    script: Any = redis.register_script(SCRIPT)
    asked, answered = Asked(), Answered()

    @app.get("/f1")
    def nothing() -> Response:
        return Response('{"status":"ok"}', content_type="application/json")

    @app.get("/f2")
    def one_get() -> Response:
        return Response(redis.get("floor") or "{}", content_type="application/json")

    @app.post("/f3")
    def one_script() -> Any:
        values: Any = asked.load(request.get_json())
        number = phonenumbers.parse(values["phone_number"], None)
        if not phonenumbers.is_valid_number(number):
            return {"code": "invalid_phone_number"}, 422
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        script(keys=[f"floor:{e164}"], args=[request.get_data(), KEPT_MS])
        call = {"number": e164, "uri": f"tel:{e164}"}
        return answered.dump(values | {"status": "pending", "call": call}), 201

    app.wsgi_app = Bare(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documentation wraps it so
    return app


app = create_app() if "WAITCALL_REDIS_URL" in os.environ else None
