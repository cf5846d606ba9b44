"""Flask, with what every surface does around a request, and without what none has a use for.

What Flask looks up anew for each request (who is async, which host it is, what ``g`` and ``request`` stand for) was a quarter
of a read (docs/performance.md).
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from flask import Flask, Request, Response
from flask.globals import app_ctx, request_ctx
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.routing import MapAdapter

from service.adapters.http.auth import ApiKeys, require_client
from service.adapters.http.context import HEADER, HttpMetrics, begin, end
from service.application.context import request_id

# For answers that are no pages (OWASP REST security cheat sheet); a page brings a policy of its own.
# Strict-Transport-Security is the ingress's to send: it knows whether the connection was one.
_SECURITY_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)

StartResponse = Callable[..., Callable[[bytes], object]]


def _start(start_response: StartResponse, status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
    own = {name for name, _ in headers}
    headers.extend(header for header in _SECURITY_HEADERS if header[0] not in own)
    current = request_id.get()
    if current is not None:
        headers.append((HEADER, current))
    return start_response(status, headers, *more)


class _NoSession(dict[str, Any], SessionMixin):
    """Nobody has one."""


class _NoSessions(SessionInterface):
    """Flask would make an empty one for each request."""

    _none = _NoSession()

    def open_session(self, app: Flask, request: Request) -> SessionMixin:  # noqa: ARG002  Flask's signature
        return self._none

    def is_null_session(self, obj: object) -> bool:
        return obj is self._none


class Surface(Flask):
    """One surface: ``api``, ``callback`` or ``ops``. Every view is a plain function; no host or scheme matters to a route."""

    def __init__(self, name: str, keys: ApiKeys, metrics: HttpMetrics) -> None:
        """
        Args:
            name: of the surface.
            keys: who may call.
            metrics: told of every answer.
        """
        super().__init__(name, static_folder=None)
        self.session_interface = _NoSessions()
        self._keys = keys
        self._metrics = metrics

    def wsgi_app(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer, under the request's id and with the headers of every answer."""
        return super().wsgi_app(environ, partial(_start, start_response))

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As it is."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Only where hosts are listed is the request's looked at."""
        if request is None or self.config["TRUSTED_HOSTS"] is not None:
            return super().create_url_adapter(request)
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)

    def dispatch_request(self) -> Any:
        """Call the view. Arguments by position: a call by names costs a waiting request half a kilobyte of C stack."""
        request = request_ctx.request
        if request.url_rule is None or len(request.view_args or ()) > 1:
            return super().dispatch_request()
        view = self.view_functions[request.url_rule.endpoint]
        for value in (request.view_args or {}).values():
            return view(value)
        return view()

    def preprocess_request(self) -> Any:
        """Begin it, and know who asks."""
        refused = super().preprocess_request()
        request, state = request_ctx.request, app_ctx.g
        begin(request, state)
        require_client(self, self._keys, request, state)
        return refused

    def process_response(self, response: Response) -> Response:
        """Tell of it."""
        response = super().process_response(response)
        state = app_ctx.g
        if state.get("close"):
            response.headers["Connection"] = "close"
        end(self.name, self._metrics, request_ctx.request, state, response)
        return response

    def do_teardown_request(self, *args: Any) -> None:
        """Forget its id."""
        super().do_teardown_request(*args)
        request_id.set(None)
