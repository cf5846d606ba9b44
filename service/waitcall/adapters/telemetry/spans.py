"""Switch for tracing. OpenTelemetry is an optional dependency, which is imported only if tracing is on."""

from typing import Protocol

from flask import Flask

from waitcall.application.open_channel import CallProvider


class Spans(Protocol):
    """Tracing of requests and orders."""

    def watch(self, app: Flask) -> Flask:
        """Make the app trace each request, and return it."""
        ...

    def traced(self, provider: CallProvider) -> CallProvider:
        """Return the provider with a span for each order."""
        ...


class NoSpans:
    """Tracing that is off."""

    def watch(self, app: Flask) -> Flask:
        """Return the app unchanged."""
        return app

    def traced(self, provider: CallProvider) -> CallProvider:
        """Return the provider unchanged."""
        return provider


def spans(exporter: str, version: str) -> Spans:
    """Return the tracing for ``exporter``, the value of WAITCALL_TRACING: ``off`` or ``otlp``."""
    if exporter == "off":
        return NoSpans()
    from waitcall.adapters.telemetry.tracing import Tracing  # noqa: PLC0415  OpenTelemetry may not be installed

    return Tracing(version)
