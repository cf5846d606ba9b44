"""Flask apps of the surfaces, and the WSGI callable that chooses the app by the listener's port."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from wsgiref.types import StartResponse

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import NotFound

from waitcall.adapters.http.auth import ApiKeys, require_client
from waitcall.adapters.http.context import UNREADABLE, HttpMetrics, begin_request, end_request, forget_request
from waitcall.adapters.http.low_priority_queue import LowPriorityQueue
from waitcall.adapters.http.problems import Problems
from waitcall.adapters.http.proxies import BehindProxies, Environ
from waitcall.application.ports import Observer

API_BODY_BYTES = 16 * 1024
CALLBACK_BODY_BYTES = 64 * 1024

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
    # A path with a double slash is another path and must not redirect.
    app.url_map.merge_slashes = False
    app.before_request(begin_request)
    app.before_request(partial(require_client, app, keys))
    # The functions after a request run in reverse order.
    app.after_request(partial(end_request, name, metrics))
    app.after_request(_secured)
    app.teardown_request(forget_request)
    app.extensions["problems"] = problems = Problems(observer, low_priority)
    app.register_error_handler(Exception, problems.answer)
    for routes in blueprints:
        app.register_blueprint(routes)
    app.wsgi_app = BehindProxies(app.wsgi_app, trusted_hops)  # type: ignore[method-assign]  # Flask documents this way to add middleware
    return app


def _secured(response: Response) -> Response:
    own = {name for name, _ in response.headers}
    response.headers.extend([header for header in SECURITY_HEADERS.items() if header[0] not in own])
    return response


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

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request to its surface. gunicorn takes SERVER_PORT from the socket, not from the Host header."""
        app = self.by_port.get(str(environ["SERVER_PORT"]))
        if app is None:
            return NotFound()(environ, start_response)
        return app(environ, start_response)
