"""Context of the current request, which every layer may log."""

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that this thread is answering. The response carries it too."""

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""Id of the trace that this request belongs to, 32 hex digits; None if requests are not traced."""

events: ContextVar[list[dict[str, object]] | None] = ContextVar("events", default=None)
"""Changes of verifications that this request made, for its log line. None outside a request."""
