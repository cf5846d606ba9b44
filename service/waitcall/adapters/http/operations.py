"""Routes /livez, /readyz, /version and /metrics."""

from collections.abc import Callable

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from waitcall.adapters.http.auth import no_auth
from waitcall.application.readiness import Readiness
from waitcall.domain.errors import StoreUnavailable


def blueprint(
    readiness: Readiness,
    exposition: Callable[[], bytes],
    exposition_type: str,
    version: str,
    is_alive: Callable[[], bool] = lambda: True,
) -> Blueprint:
    """Make the routes of the operations surface.

    Args:
        readiness: state behind ``/readyz``.
        exposition: gives the text of ``/metrics``.
        exposition_type: media type of that text.
        version: version of the service.
        is_alive: tells whether the process still makes progress.
    """
    routes = Blueprint("operations", __name__)

    @routes.get("/livez")
    @no_auth
    def livez() -> ResponseReturnValue:
        # A serving process that answers is alive. The background worker also checks its threads.
        if not is_alive():
            return {"status": "stuck"}, 503
        return {"status": "alive"}

    @routes.get("/readyz")
    @no_auth
    def readyz() -> ResponseReturnValue:
        if readiness.is_leaving:
            return {"status": "leaving"}, 503
        try:
            readiness.check()
        except StoreUnavailable as error:
            # Only operators reach this listener, so the answer may say why.
            raise StoreUnavailable(error.cause or None, retry_after=error.retry_after) from error
        return {"status": "ready"}

    @routes.get("/version")
    @no_auth
    def version_() -> ResponseReturnValue:
        return {"name": "waitcall", "version": version}

    @routes.get("/metrics")
    @no_auth
    def metrics() -> ResponseReturnValue:
        return Response(exposition(), content_type=exposition_type)

    return routes
