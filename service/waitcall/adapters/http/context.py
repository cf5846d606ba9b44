"""Id, log line and metrics of each request."""

import logging
import random
import re
import string
from time import monotonic
from typing import Protocol

from flask import Response, g, request

from waitcall.application.request_context import events, request_id
from waitcall.domain.matching import Kind, Outcome

HEADER = "X-Request-ID"
UNMATCHED = "unmatched"
"""Value of the label ``route`` for a path without a route."""

UNREADABLE = "unreadable"
"""Value of the label ``route`` for input that is not an HTTP request."""

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_FAILURE = 500
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_LETTERS = bytes(ord(string.ascii_lowercase[byte % 26]) for byte in range(256))

_log = logging.getLogger("waitcall.access")


class HttpMetrics(Protocol):
    """Metrics of answers."""

    def failed(self, code: str) -> None:
        """Count a 5xx answer to a client or a provider."""
        ...

    def http_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request, and observe its duration."""
        ...


def new_request_id() -> str:
    """Return 20 random letters. Digits are not used, because the log would mask them as a phone number."""
    return random.randbytes(20).translate(_LETTERS).decode()  # noqa: S311  # nosec B311  # a name, no secret


def begin_request() -> None:
    """Give the request an id, and prepare the fields of its log line.

    The views and error handlers set these attributes of ``flask.g``: ``client`` (the client of the request's key; empty
    without a key), ``verification`` (the last characters of the verification's id), ``problem`` (code of the problem in
    the answer) and ``callbacks`` (kind and outcome of each message in a callback).
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
    """Add the kind and outcome of a provider's message to the request's log line."""
    g.callbacks.append(f"{kind} {outcome}")


def end_request(surface: str, metrics: HttpMetrics, response: Response) -> Response:
    """Count the request, write its log line, and return its id in a header."""
    seconds = monotonic() - g.began
    # Log the route, never the path, because a path may contain secrets or personal data.
    route = request.url_rule.rule if request.url_rule else UNMATCHED
    method = request.method if request.method in _METHODS else "other"
    status, code = response.status_code, g.problem
    metrics.http_request(route, method, status, seconds)
    # A 503 of a probe is no failed request of a client.
    if status >= _FAILURE and surface != "ops" and code:
        metrics.failed(code)
    line = {
        "surface": surface,
        "route": route,
        "method": method,
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "client": g.client or None,
        # Log addresses of providers, but not of people who open a page.
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
    """Clear the request's id and events, because the connection may carry another request."""
    request_id.set(None)
    events.set(None)
