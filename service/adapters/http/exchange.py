"""One request and its answer, plain: what a view is given, and what it gives back."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse

import orjson
from werkzeug.http import HTTP_STATUS_CODES

from service.domain.call import Kind, Outcome
from service.domain.limits import LimitState

Environ = dict[str, Any]
"""Of WSGI (PEP 3333)."""

Header = tuple[str, str]

JSON = "application/json"

# Strict-Transport-Security is the ingress's to send: it knows whether the connection was one.
SECURITY_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
"""For answers that are no pages (OWASP REST security cheat sheet); a page brings a policy of its own."""

_LONGEST_QUERY = 1000
_STATUS_LINES = {status: f"{status} {reason.upper()}" for status, reason in HTTP_STATUS_CODES.items()}


class Exchange:
    """One request, and what becomes known of it on its way.

    Attributes:
        environ: as the server gave it.
        route: the rule that its path fits; None where none does.
        max_body_bytes: longer bodies are refused.
        began: on the monotonic clock, seconds.
        client: whose key it came with; empty without one.
        verification: the end of the id that it is about.
        code: of the problem that it is answered with.
        callbacks: kind and outcome of each message of a provider that it brought.
        limits: how those stand that it was counted against.
        close: whether its connection must end with it.
    """

    __slots__ = (
        "began",
        "callbacks",
        "client",
        "close",
        "code",
        "environ",
        "limits",
        "max_body_bytes",
        "method",
        "route",
        "verification",
    )

    def __init__(self, environ: Environ, route: str | None, max_body_bytes: int, began: float) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.route = route
        self.max_body_bytes = max_body_bytes
        self.began = began
        self.client = ""
        self.verification: str | None = None
        self.code: str | None = None
        self.callbacks: list[str] = []
        self.limits: Sequence[LimitState] = ()
        self.close = False

    @property
    def path(self) -> bytes:
        """Of the URL, decoded, in bytes."""
        path: str = self.environ["PATH_INFO"]
        return path.encode("latin-1")

    @property
    def remote_addr(self) -> str | None:
        """Where the connection comes from, or what our proxies say."""
        return self.environ.get("REMOTE_ADDR")

    @property
    def query(self) -> bytes:
        """The raw query string."""
        query: str = self.environ.get("QUERY_STRING", "")
        return query.encode("latin-1")

    def brought(self, kind: Kind, outcome: Outcome) -> None:
        """Note what became of a message of a provider."""
        self.callbacks.append(f"{kind} {outcome}")

    def header(self, name: str) -> str | None:
        """Of the request; ``name`` as WSGI spells it, for instance ``IDEMPOTENCY_KEY``."""
        return self.environ.get(f"HTTP_{name}")

    def asked(self, name: str) -> list[str]:
        """Every value that the query string has for ``name``, in its first thousand characters."""
        query: str = self.environ.get("QUERY_STRING", "")[:_LONGEST_QUERY]
        if not query:
            return []
        pairs = parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="replace")
        return [value for key, value in pairs if key == name]


class Reply:
    """An answer: status, body, headers. It is a WSGI application, which Flask takes for a view's answer as well."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self, status: int, body: bytes, content_type: str = JSON, headers: Sequence[Header] = ()
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = [*headers]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Send it."""
        body = self.body
        length = ("Content-Length", str(len(body)))
        start_response(
            _STATUS_LINES[self.status], [("Content-Type", self.content_type), length, *self.headers]
        )
        return () if environ["REQUEST_METHOD"] == "HEAD" else (body,)

    @classmethod
    def of_json(cls, document: Any, status: int = 200) -> "Reply":
        """One JSON document, on a line of its own."""
        return cls(status, orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
