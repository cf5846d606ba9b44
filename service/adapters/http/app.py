"""One Flask app per surface, and the WSGI callable that tells them apart by listener."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from wsgiref.types import StartResponse

from flask import Blueprint, Flask
from werkzeug.exceptions import NotFound

from service.adapters.http.auth import ApiKeys
from service.adapters.http.context import UNREADABLE, HttpMetrics
from service.adapters.http.exchange import Environ
from service.adapters.http.lane import Lane
from service.adapters.http.problems import Problems
from service.adapters.http.surface import Surface
from service.application.observer import Observer

API_BODY_BYTES = 16 * 1024
CALLBACK_BODY_BYTES = 64 * 1024


def create_surface(  # noqa: PLR0913  what every surface has
    name: str,
    blueprints: Iterable[Blueprint],
    *,
    max_body_bytes: int,
    keys: ApiKeys,
    observer: Observer,
    metrics: HttpMetrics,
    trusted_hosts: Sequence[str] = (),
    trusted_hops: int = 0,
    lane: Lane | None = None,
) -> Flask:
    """One surface: ``api``, ``callback`` or ``ops``. Its routes need a key unless they say otherwise.

    Args:
        name: of the surface.
        blueprints: its routes.
        max_body_bytes: longer bodies are refused.
        keys: who may call.
        observer: told of refusals.
        metrics: told of every answer.
        trusted_hosts: names that a Host header may say; empty for any.
        trusted_hops: proxies of ours in front, whose ``X-Forwarded-For``, ``-Host`` and ``-Proto`` count.
            With 0 these headers are ignored.
        lane: what refusals pass, where strangers cause them.
    """
    app = Surface(name, keys, metrics, Problems(observer), max_body_bytes, trusted_hops, lane)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["TRUSTED_HOSTS"] = list(trusted_hosts) or None
    # A doubled slash is another path, not a redirect.
    app.url_map.merge_slashes = False
    for routes in blueprints:
        app.register_blueprint(routes)
    return app


class Surfaces:
    """The WSGI callable. A request belongs to the surface whose listener accepted it, whatever it says."""

    def __init__(
        self,
        by_port: Mapping[str, Flask],
        start: Callable[[], None],
        stop: Callable[[], float],
        metrics: HttpMetrics,
        public_ports: frozenset[str] = frozenset(),
    ) -> None:
        """
        Args:
            by_port: the app of each listener's port.
            start: called once in each worker process, after the fork.
            stop: called when the process is told to leave; must not block. Returns for how many seconds it is to
                go on answering all the same.
            metrics: where what reaches no surface is counted.
            public_ports: of listeners that the open network reaches; the worker bounds what they may take.
        """
        self.by_port = by_port
        self.start = start
        self.stop = stop
        self.public_ports = public_ports
        self._metrics = metrics

    def unreadable(self, status: int) -> None:
        """Count an answer to what was no HTTP, and so reached no surface."""
        self._metrics.http_request(UNREADABLE, "other", status, 0.0)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Gunicorn sets SERVER_PORT from the listening socket, not from the Host header."""
        app = self.by_port.get(str(environ["SERVER_PORT"]))
        if app is None:
            return NotFound()(environ, start_response)
        return app.wsgi_app(environ, start_response)
