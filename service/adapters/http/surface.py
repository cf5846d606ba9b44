"""Flask, with what every surface does around a request; most requests go past what they have no use for (docs/adr/0030)."""

from collections.abc import Iterable
from functools import partial
from typing import Any
from wsgiref.types import StartResponse

from flask import Flask, Response
from flask.globals import app_ctx, request_ctx
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import get_host

from service.adapters.http.auth import ApiKeys, require_client
from service.adapters.http.context import HEADER, HttpMetrics, begin, end
from service.adapters.http.exchange import SECURITY_HEADERS, Environ, Exchange, Header, Reply
from service.adapters.http.lane import Lane
from service.adapters.http.problems import Problems
from service.adapters.http.proxies import believe_proxies
from service.adapters.http.routes import Route, Routes, is_by_flask
from service.application.context import request_id

_ALWAYS = frozenset({"Content-Type", "Content-Length"})


def _start(start_response: StartResponse, status: str, headers: list[Header], *more: Any) -> Any:
    # Most have a type and a length, and nothing else of their own.
    own = {name for name, _ in headers} if len(headers) > len(_ALWAYS) else _ALWAYS
    headers += [header for header in SECURITY_HEADERS if header[0] not in own]
    current = request_id.get()
    if current is not None:
        headers.append((HEADER, current))
    return start_response(status, headers, *more)


class Surface(Flask):
    """One surface: ``api``, ``callback`` or ``ops``.

    Where nobody has hooked into Flask, a request whose route Routes finds is answered without Flask's request, response
    and contexts. Everything else goes Flask's way, and is answered the same.
    """

    def __init__(  # noqa: PLR0913, PLR0917  what every surface has
        self,
        name: str,
        keys: ApiKeys,
        metrics: HttpMetrics,
        problems: Problems,
        max_body_bytes: int,
        trusted_hops: int,
        lane: Lane | None,
    ) -> None:
        """
        Args:
            name: of the surface.
            keys: who may call.
            metrics: told of every answer.
            problems: what errors are answered with.
            max_body_bytes: longer bodies are refused.
            trusted_hops: proxies of ours in front.
            lane: what refusals pass, where strangers cause them.
        """
        super().__init__(name, static_folder=None)
        self._keys = keys
        self._metrics = metrics
        self._problems = problems
        self._max_body_bytes = max_body_bytes
        self._lane = lane
        self._trusted_hops = trusted_hops
        self._routes: Routes | None = None
        # By class, because Flask would have a traceback logged for what no handler claims.
        self.register_error_handler(HTTPException, self._problem)
        self.register_error_handler(Exception, self._problem)

    def wsgi_app(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, under the request's id and with the headers of every answer."""
        believe_proxies(environ, self._trusted_hops)
        start = partial(_start, start_response)
        found = None
        if not self.before_request_funcs and not self.after_request_funcs:
            if self._routes is None:
                self._routes = Routes(self.url_map, self.view_functions)
            found = self._routes.find(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if found is None:
            return super().wsgi_app(environ, start)
        route, value = found
        exchange = begin(environ, route.rule, self._max_body_bytes)
        try:
            reply = self._replied(exchange, route, value)
            end(self.name, self._metrics, exchange, reply.status)
            if exchange.close:
                reply.headers.append(("Connection", "close"))
            return reply(environ, start)
        finally:
            request_id.set(None)

    def _replied(self, exchange: Exchange, route: Route, value: str | None) -> Reply:
        # Arguments by position: a call by names costs a waiting request half a kilobyte of C stack.
        try:
            trusted = self.config["TRUSTED_HOSTS"]
            if trusted is not None:
                get_host(exchange.environ, trusted)
            require_client(self._keys, exchange, route.view)
            reply: Reply = route.view(exchange) if value is None else route.view(exchange, value)
        except Exception as error:  # noqa: BLE001  whatever it is, it is answered
            return self._refused(exchange, error)
        return reply

    def dispatch_request(self) -> Any:
        """Flask's way: call the view."""
        request = request_ctx.request
        view = self.view_functions[request.endpoint] if request.endpoint else None
        if view is None or is_by_flask(view):
            return super().dispatch_request()
        return view(app_ctx.g.exchange, *(request.view_args or {}).values())

    def preprocess_request(self) -> Any:
        """Flask's way: begin it, and know who asks."""
        request = request_ctx.request
        rule = request.url_rule.rule if request.url_rule else None
        exchange = begin(request.environ, rule, self._max_body_bytes)
        app_ctx.g.exchange = exchange
        refused = super().preprocess_request()
        view = self.view_functions[request.endpoint] if request.endpoint else None
        require_client(self._keys, exchange, view)
        return refused

    def process_response(self, response: Response) -> Response:
        """Flask's way: tell of it."""
        response = super().process_response(response)
        exchange: Exchange = app_ctx.g.exchange
        if exchange.close:
            response.headers["Connection"] = "close"
        end(self.name, self._metrics, exchange, response.status_code)
        return response

    def do_teardown_request(self, *args: Any) -> None:
        """Flask's way: forget its id."""
        super().do_teardown_request(*args)
        request_id.set(None)

    def _problem(self, error: Exception) -> Reply:
        return self._refused(app_ctx.g.exchange, error)

    def _refused(self, exchange: Exchange, error: Exception) -> Reply:
        if self._lane is not None:
            self._lane.refuse()
        return self._problems.of(exchange, error)
