"""Whether requests are traced. OpenTelemetry is an extra, imported only where it is asked for."""

from typing import Protocol

from flask import Flask

from service.application.providers import CallProvider


class Spans(Protocol):
    """Follows requests and orders."""

    def watch(self, app: Flask) -> Flask:
        """The app, with a span for each request."""
        ...

    def traced(self, provider: CallProvider) -> CallProvider:
        """The provider, with a span for each order."""
        ...


class NoSpans:
    """Leaves everything as it is."""

    def watch(self, app: Flask) -> Flask:
        """The app itself."""
        return app

    def traced(self, provider: CallProvider) -> CallProvider:
        """The provider itself."""
        return provider


def spans(exporter: str, version: str) -> Spans:
    """Of the ``exporter`` that WAITCALL_TRACING names: ``off`` or ``otlp``."""
    if exporter == "off":
        return NoSpans()
    from service.adapters.telemetry.tracing import Tracing  # noqa: PLC0415  an extra

    return Tracing(version)
