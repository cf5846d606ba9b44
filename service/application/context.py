"""What belongs to the request at hand and may be logged on every floor."""

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that this thread is answering; echoed to its caller."""

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""Of the trace that this request belongs to, 32 hex digits, where requests are traced."""

events: ContextVar[list[dict[str, object]] | None] = ContextVar("events", default=None)
"""Events of this request, for its log line: what happened to verifications. None outside a request."""
