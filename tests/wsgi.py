"""Send requests to a WSGI app as gunicorn does: path, query string and headers reach it byte for byte."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any
from urllib.parse import unquote_to_bytes

WsgiApp = Callable[..., Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    """Response of the app."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """Code of the problem, or None if the response is not a problem document."""
        if self.headers["Content-Type"] != "application/problem+json":
            return None
        found: str = json.loads(self.body)["code"]
        return found


def ask(
    app: WsgiApp,
    method: str,
    target: bytes,
    headers: Mapping[str, str] = {},
    body: bytes = b"",
    peer: str = "192.0.2.1",
) -> Answer:
    """Send one request and return the response.

    Args:
        app: WSGI app of one surface.
        method: HTTP method.
        target: path and query string, as on the request line.
        headers: values by the names that they have on the wire.
        body: the whole body.
        peer: IP address of the client.
    """
    path, _, query = target.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8081",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": peer,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if body or method == "POST":
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
    started: list[Any] = []

    def start_response(status: str, sent: list[tuple[str, str]], *_: Any) -> None:
        started[:] = [int(status.split(maxsplit=1)[0]), dict(sent)]

    answered = app(environ, start_response)
    content = b"".join(answered)
    if hasattr(answered, "close"):
        answered.close()
    return Answer(started[0], started[1], content)
