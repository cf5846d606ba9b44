"""/livez, /readyz, /version, /metrics."""

from collections.abc import Callable

from flask import Blueprint, Response, jsonify

from service.adapters.http.auth import no_auth
from service.application.readiness import Readiness


def blueprint(
    readiness: Readiness,
    exposition: Callable[[], bytes],
    exposition_type: str,
    version: str,
    is_alive: Callable[[], bool] = lambda: True,
) -> Blueprint:
    """The operations surface of a process.

    Args:
        readiness: asked by ``/readyz``.
        exposition: the text of ``/metrics``.
        exposition_type: its media type.
        version: of the service.
        is_alive: whether the process still does what it is there for.
    """
    routes = Blueprint("operations", __name__)

    @routes.get("/livez")
    @no_auth
    def livez() -> Response:
        # A process that answers is alive; the worker also has threads that must go on.
        if not is_alive():
            return Response('{"status":"stuck"}\n', 503, content_type="application/json")
        return jsonify(status="alive")

    @routes.get("/readyz")
    @no_auth
    def readyz() -> Response:
        if readiness.is_leaving:
            return Response('{"status":"leaving"}\n', 503, content_type="application/json")
        readiness.check()
        return jsonify(status="ready")

    @routes.get("/version")
    @no_auth
    def version_() -> Response:
        return jsonify(name="waitcall", version=version)

    @routes.get("/metrics")
    @no_auth
    def metrics() -> Response:
        return Response(exposition(), content_type=exposition_type)

    return routes
