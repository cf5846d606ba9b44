"""Around every request: its id, one line in the log, its count and duration."""

import logging
import random
import re
import string
from time import monotonic
from typing import Protocol

from service.adapters.http.exchange import Environ, Exchange
from service.application.context import request_id

HEADER = "X-Request-ID"
_GIVEN = "HTTP_X_REQUEST_ID"
UNMATCHED = "unmatched"
"""The route label of a path that no route has."""

UNREADABLE = "unreadable"
"""The route label of what was no HTTP request at all."""

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_FAILURE = 500
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_LETTERS = bytes(ord(string.ascii_lowercase[byte % 26]) for byte in range(256))

_log = logging.getLogger("waitcall.access")


class HttpMetrics(Protocol):
    """Where each answer is counted."""

    def failed(self, code: str) -> None:
        """A caller or the provider was answered 5xx."""
        ...

    def http_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered."""
        ...


def new_request_id() -> str:
    """20 random letters: no digits, which the log would take for a number and mask."""
    return random.randbytes(20).translate(_LETTERS).decode()  # noqa: S311  # nosec B311  # a name, no secret


def begin(environ: Environ, route: str | None, max_body_bytes: int) -> Exchange:
    """A request that has just arrived, with its id."""
    given = environ.get(_GIVEN)
    request_id.set(given if given is not None and _ACCEPTED.fullmatch(given) else new_request_id())
    return Exchange(environ, route, max_body_bytes, monotonic())


def end(surface: str, metrics: HttpMetrics, exchange: Exchange, status: int) -> None:
    """Count it, and tell of it."""
    seconds = monotonic() - exchange.began
    # The route, never the path: a caller may have put anything into the path.
    route = exchange.route or UNMATCHED
    method = exchange.method if exchange.method in _METHODS else "other"
    code = exchange.code
    metrics.http_request(route, method, status, seconds)
    # A probe that says no is no answer to a caller.
    if status >= _FAILURE and surface != "ops" and code:
        metrics.failed(code)
    told = {
        "surface": surface,
        "route": route,
        "method": method,
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "client": exchange.client or None,
        # Where the provider calls from; not where people are.
        "remote": exchange.remote_addr if surface == "callback" and not route.startswith("/p/") else None,
        "code": code,
        "verification": exchange.verification,
    }
    if exchange.callbacks:
        told["callbacks"] = exchange.callbacks
    _log.log(logging.DEBUG if surface == "ops" else logging.INFO, "request", extra=told)
