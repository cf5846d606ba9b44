"""Tracing with OpenTelemetry: one span for each incoming request, and one for each order at a provider.

OpenTelemetry is an optional dependency, so this module is imported only if tracing is on. Spans hold no paths, queries and bodies, because these may contain ids, phone numbers or signatures.
"""

from contextvars import Token
from typing import Any

from flask import Flask, Response, g, request, request_started
from opentelemetry import context as spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from waitcall.application.open_channel import Ordering
from waitcall.application.request_context import trace_id
from waitcall.domain.channel import PlacedOrder
from waitcall.domain.numbers import E164

_NAMES = {
    ("POST", "/v1/verifications"): "verification.create",
    ("GET", "/v1/verifications/<verification_id>"): "verification.read",
    ("POST", "/v1/verifications/<verification_id>/consume"): "verification.consume",
    ("DELETE", "/v1/verifications/<verification_id>"): "verification.cancel",
    ("GET", "/callbacks/smsc"): "callback",
    ("POST", "/callbacks/smsc"): "callback",
}
_FAILURE = 500


class Tracing:
    """Tracing that exports by OTLP.

    The standard variables ``OTEL_EXPORTER_OTLP_…`` say where to, and ``OTEL_TRACES_SAMPLER`` how many traces.
    """

    def __init__(self, version: str, exporter: SpanExporter | None = None) -> None:
        resource = Resource.create({"service.name": "waitcall", "service.version": version})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=True)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("waitcall", version)

    def watch(self, app: Flask) -> None:
        """Make a span for each request that matches a route, from its start until its answer is made."""
        request_started.connect(self._begin, app, weak=False)
        app.after_request(self._answered)
        app.teardown_request(self._end)

    def traced(self, provider: Ordering) -> Ordering:
        """Return the provider with a span for each order."""
        return _TracedProvider(provider, self._tracer)

    def close(self) -> None:
        """Export the remaining spans, and stop."""
        self._provider.shutdown()

    def _begin(self, _: Flask, **_more: Any) -> None:
        route = request.url_rule.rule if request.url_rule else None
        if route is None:
            return
        span = self._tracer.start_span(
            _NAMES.get((request.method, route), f"{request.method} {route}"),
            context=TraceContextTextMapPropagator().extract(request.headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": request.method, "http.route": route},
        )
        g.span = span
        g.span_tokens = (
            spans.attach(set_span_in_context(span)),
            trace_id.set(format_trace_id(span.get_span_context().trace_id)),
        )

    def _answered(self, response: Response) -> Response:
        span = g.get("span")
        if span is not None:
            span.set_attribute("http.response.status_code", response.status_code)
            if g.problem:
                span.set_attribute("waitcall.code", g.problem)
            if response.status_code >= _FAILURE:
                span.set_status(StatusCode.ERROR)
        return response

    def _end(self, _: BaseException | None) -> None:
        span = g.pop("span", None)
        if span is None:
            return
        attached: tuple[Token[Any], Token[str | None]] = g.pop("span_tokens")
        spans.detach(attached[0])
        trace_id.reset(attached[1])
        span.end()


class _TracedProvider:
    def __init__(self, provider: Ordering, tracer: Any) -> None:
        self._provider = provider
        self._tracer = tracer

    def order(self, subscriber: E164, *, attested: bool = False) -> PlacedOrder:
        """Order at the provider within a span. A failure's class is recorded, but not its message."""
        span = self._tracer.start_span("provider.order", kind=SpanKind.CLIENT)
        token = spans.attach(set_span_in_context(span))
        try:
            return self._provider.order(subscriber, attested=attested)
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            spans.detach(token)
            span.end()
