"""Flask apps of the surfaces: what every request passes on its way to a view and back, and the choice by listener."""

import logging
import random
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Protocol
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import NotFound

from waitcall.adapters.http.auth import ApiKeys, require_client
from waitcall.adapters.http.body import LowPriorityQueue
from waitcall.adapters.http.problems import ProblemHandler
from waitcall.application.ports import Observer
from waitcall.application.request_context import events, request_id
from waitcall.domain.limits import plain_address

API_BODY_BYTES = 16 * 1024
CALLBACK_BODY_BYTES = 64 * 1024
HEADER = "X-Request-ID"

UNMATCHED = "unmatched"
"""Value of the label ``route`` for a path without a route."""

UNREADABLE = "unreadable"
"""Value of the label ``route`` for input that is not an HTTP request."""

# The ingress sends Strict-Transport-Security, because only it knows whether the connection uses TLS.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Default headers of every answer (OWASP REST security cheat sheet). An answer's own headers take precedence."""

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_FAILURE = 500
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_LETTERS = bytes(ord(string.ascii_lowercase[byte % 26]) for byte in range(256))
_LONGEST_FORWARDED = 255

_log = logging.getLogger("waitcall.access")


class HttpMetrics(Protocol):
    """Metrics of answers."""

    def failed(self, code: str) -> None:
        """Count a 5xx answer to a client or a provider."""
        ...

    def http_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request, and observe its duration."""
        ...


def create_app(  # noqa: PLR0913  every surface needs these
    name: str,
    blueprints: Iterable[Blueprint],
    *,
    max_body_bytes: int,
    keys: ApiKeys,
    observer: Observer,
    metrics: HttpMetrics,
    trusted_hosts: Sequence[str] = (),
    trusted_hops: int = 0,
    low_priority: LowPriorityQueue | None = None,
) -> Flask:
    """Make the Flask app of one surface: ``api``, ``callback`` or ``ops``. Its routes need an API key unless marked.

    Args:
        name: name of the surface.
        blueprints: routes of the surface.
        max_body_bytes: size above which a body is refused.
        keys: API keys of the clients.
        observer: receives refusals.
        metrics: counts every answer.
        trusted_hosts: allowed values of the Host header; empty for any.
        trusted_hops: number of our own proxies in front, whose ``X-Forwarded-For``, ``-Host`` and ``-Proto`` are used.
            With 0 these headers are ignored.
        low_priority: queue for refusals, on a surface that strangers reach.
    """
    app = Flask(name, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["TRUSTED_HOSTS"] = list(trusted_hosts) or None
    app.config["MAX_BODY_BYTES"] = max_body_bytes
    # One byte more: werkzeug cuts a chunked body silently at its limit, and body.py must see that it was longer.
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes + 1
    # A path with a double slash inside is another path and must not redirect. Werkzeug drops slashes at its beginning.
    app.url_map.merge_slashes = False
    app.before_request(begin_request)
    app.before_request(partial(require_client, app, keys))
    # The functions after a request run in reverse order.
    app.after_request(partial(end_request, name, metrics))
    app.after_request(secure_response)
    app.teardown_request(forget_request)
    app.extensions["problems"] = problems = ProblemHandler(observer, low_priority)
    app.register_error_handler(Exception, problems.answer)
    for routes in blueprints:
        app.register_blueprint(routes)
    app.wsgi_app = ProxyHeaders(app.wsgi_app, trusted_hops)  # type: ignore[method-assign]  # Flask documents this way to add middleware
    return app


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


def secure_response(response: Response) -> Response:
    """Add the default headers that the answer does not set itself."""
    own = {name for name, _ in response.headers}
    response.headers.extend([header for header in SECURITY_HEADERS.items() if header[0] not in own])
    return response


class ProxyHeaders:
    """WSGI middleware that takes the caller's address, the host and the scheme from ``X-Forwarded-For``, ``-Host``, ``-Proto``.

    This replaces werkzeug's ProxyFix, which keeps a port or brackets in the address, reads headers of any length, and ignores
    all values if the first one, which the caller may have sent, contains an open quote.
    """

    def __init__(self, app: WSGIApplication, hops: int) -> None:
        """``hops``: number of our own proxies, each of which appends one value. With 0 the headers are ignored."""
        self._app = app
        self._hops = hops

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR", "")
        if ":" in peer:
            # A listener on [::] sees IPv4 peers as ::ffff:192.0.2.1, and neighbours on the link with a zone.
            environ["REMOTE_ADDR"] = address_in(peer.partition("%")[0]) or peer
        if not self._hops:
            return self._app(environ, start_response)
        if address := address_in(self._forwarded(environ, "FOR")):
            environ["REMOTE_ADDR"] = address
        if host := self._forwarded(environ, "HOST"):
            environ["HTTP_HOST"] = host
        scheme = self._forwarded(environ, "PROTO")
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        return self._app(environ, start_response)

    def _forwarded(self, environ: WSGIEnvironment, name: str) -> str:
        values = environ.get(f"HTTP_X_FORWARDED_{name}", "").rsplit(",", self._hops)[-self._hops :]
        value: str = values[0].strip() if len(values) == self._hops else ""
        return value if len(value) <= _LONGEST_FORWARDED else ""


def address_in(text: str) -> str | None:
    """Return the IP address in a value of ``X-Forwarded-For``, without port and brackets; None if there is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(plain_address(text))
    except ValueError:
        return None


class Surfaces:
    """The service's WSGI callable. The listener that accepted a request decides its surface; headers do not."""

    def __init__(
        self,
        by_port: Mapping[str, Flask],
        start: Callable[[], None],
        stop: Callable[[], float],
        metrics: HttpMetrics,
    ) -> None:
        """
        Args:
            by_port: Flask apps by the listener's port.
            start: called once in each worker process, after the fork.
            stop: called when the process is told to stop; it must not block. It returns for how many seconds the process
                must still answer requests.
            metrics: counts requests that reach no surface.
        """
        self.by_port = by_port
        self.start = start
        self.stop = stop
        self._metrics = metrics

    def unreadable(self, status: int) -> None:
        """Count an answer to input that was not an HTTP request and so reached no surface."""
        self._metrics.http_request(UNREADABLE, "other", status, 0.0)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request to its surface. gunicorn takes SERVER_PORT from the socket, not from the Host header."""
        app = self.by_port.get(str(environ["SERVER_PORT"]))
        if app is None:
            return NotFound()(environ, start_response)
        return app(environ, start_response)
