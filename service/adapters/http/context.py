"""Around every request: its id, one line in the log, its count and duration."""

import logging
import random
import re
import string
from time import monotonic
from typing import Protocol

from flask import Flask, Response, g, request

from service.application.context import request_id

HEADER = "X-Request-ID"
UNMATCHED = "unmatched"
"""The route label of a path that no route has."""

UNREADABLE = "unreadable"
"""The route label of what was no HTTP request at all."""

# For answers that are no pages (OWASP REST security cheat sheet); a page brings a policy of its own.
# Strict-Transport-Security is the ingress's to send: it knows whether the connection was one.
_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SET_BY_PAGES = ("Content-Security-Policy", "Cache-Control")
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_FAILURE = 500
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

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
    return "".join(random.choices(string.ascii_lowercase, k=20))  # noqa: S311  # nosec B311  # a name, no secret


def accompany(app: Flask, surface: str, metrics: HttpMetrics) -> None:
    """Hook into every request of the app. Must come before other hooks."""

    @app.before_request
    def _begin() -> None:
        g.began = monotonic()
        given = request.headers.get(HEADER, "")
        request_id.set(given if _ACCEPTED.fullmatch(given) else new_request_id())

    @app.after_request
    def _end(response: Response) -> Response:
        current = request_id.get()
        if current is not None:
            response.headers[HEADER] = current
        if any(name in response.headers for name in _SET_BY_PAGES):
            for name, value in _SECURITY_HEADERS.items():
                response.headers.setdefault(name, value)
        else:
            response.headers.extend(_SECURITY_HEADERS)
        if g.get("close"):
            response.headers["Connection"] = "close"
        seconds = monotonic() - g.get("began", monotonic())
        # The route, never the path: a caller may have put anything into the path.
        route = request.url_rule.rule if request.url_rule else UNMATCHED
        method = request.method if request.method in _METHODS else "other"
        metrics.http_request(route, method, response.status_code, seconds)
        # A probe that says no is no answer to a caller.
        if response.status_code >= _FAILURE and surface != "ops" and g.get("code"):
            metrics.failed(g.code)
        _log.log(
            logging.DEBUG if surface == "ops" else logging.INFO,
            "request",
            extra={
                "surface": surface,
                "route": route,
                "method": method,
                "status": response.status_code,
                "duration_ms": round(seconds * 1000, 2),
                "client": g.get("client"),
                # Where the provider calls from; not where people are.
                "remote": request.remote_addr
                if surface == "callback" and not route.startswith("/p/")
                else None,
                "code": g.get("code"),
                "verification": g.get("verification"),
            },
        )
        return response

    @app.teardown_request
    def _forget(_: BaseException | None) -> None:
        request_id.set(None)
