"""Around every request: its id, one line in the log, its count and duration."""

import logging
import random
import re
import string
from time import monotonic
from typing import Protocol

from flask import Response, g, request

from service.application.context import events, request_id
from service.domain.call import Kind, Outcome

HEADER = "X-Request-ID"
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


def begin_request() -> None:
    """Give the request its id, and prepare what its log line will say.

    The views and error handlers fill in ``flask.g``: ``client`` (whose key it came with; empty without one),
    ``verification`` (end of the id that it is about), ``problem`` (code that it is answered with) and ``callbacks``
    (kind and outcome of each message of a provider).
    """
    given = request.headers.get(HEADER)
    request_id.set(given if given is not None and _ACCEPTED.fullmatch(given) else new_request_id())
    events.set([])
    g.began = monotonic()
    g.client = ""
    g.verification = None
    g.problem = None
    g.callbacks = []


def note_callback(kind: Kind, outcome: Outcome) -> None:
    """Note for the log line what became of a provider's message."""
    g.callbacks.append(f"{kind} {outcome}")


def end_request(surface: str, metrics: HttpMetrics, response: Response) -> Response:
    """Count the request, write its log line, and echo its id."""
    seconds = monotonic() - g.began
    # The route, never the path: a caller may have put anything into the path.
    route = request.url_rule.rule if request.url_rule else UNMATCHED
    method = request.method if request.method in _METHODS else "other"
    status, code = response.status_code, g.problem
    metrics.http_request(route, method, status, seconds)
    # A probe that says no is no answer to a caller.
    if status >= _FAILURE and surface != "ops" and code:
        metrics.failed(code)
    line = {
        "surface": surface,
        "route": route,
        "method": method,
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "client": g.client or None,
        # Where the provider calls from; not where people are.
        "remote": request.remote_addr if surface == "callback" and not route.startswith("/p/") else None,
        "code": code,
        "verification": g.verification,
    }
    if g.callbacks:
        line["callbacks"] = g.callbacks
    if happened := events.get():
        line["events"] = happened
    _log.log(logging.DEBUG if surface == "ops" else logging.INFO, "request", extra=line)
    response.headers[HEADER] = request_id.get()
    return response


def forget_request(_: BaseException | None) -> None:
    """Forget the request's id and events: its connection may bring another."""
    request_id.set(None)
    events.set(None)
