"""/livez, /readyz, /version, /metrics."""

from collections.abc import Callable

from flask import Blueprint

from service.adapters.http.auth import no_auth
from service.adapters.http.exchange import Exchange, Reply
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
    def livez(_: Exchange) -> Reply:
        # A process that answers is alive; the worker also has threads that must go on.
        if not is_alive():
            return Reply.of_json({"status": "stuck"}, 503)
        return Reply.of_json({"status": "alive"})

    @routes.get("/readyz")
    @no_auth
    def readyz(_: Exchange) -> Reply:
        if readiness.is_leaving:
            return Reply.of_json({"status": "leaving"}, 503)
        readiness.check()
        return Reply.of_json({"status": "ready"})

    @routes.get("/version")
    @no_auth
    def version_(_: Exchange) -> Reply:
        return Reply.of_json({"name": "waitcall", "version": version})

    @routes.get("/metrics")
    @no_auth
    def metrics(_: Exchange) -> Reply:
        return Reply(200, exposition(), exposition_type)

    return routes
