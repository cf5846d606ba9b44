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
) -> Blueprint:
    """The operations surface."""
    routes = Blueprint("operations", __name__)

    @routes.get("/livez")
    @no_auth
    def livez() -> Response:
        return jsonify(status="alive")

    @routes.get("/readyz")
    @no_auth
    def readyz() -> Response:
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
