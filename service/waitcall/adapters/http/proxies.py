"""The caller's address, host and scheme, from ``X-Forwarded-For``, ``-Host`` and ``-Proto`` of our proxies.

This replaces werkzeug's ProxyFix, which keeps a port or brackets in the address, reads headers of any length, and ignores
all values if the first one, which the caller may have sent, contains an open quote.
"""

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse

from waitcall.domain.limits import plain_address

Environ = dict[str, Any]
"""WSGI environment of a request (PEP 3333)."""

_LONGEST = 255
_SCHEMES = ("http", "https")


class BehindProxies:
    """WSGI middleware that sets the caller's address, the host and the scheme in the environment from the headers."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]], hops: int) -> None:
        """``hops``: number of our own proxies, each of which appends one value. With 0 the headers are ignored."""
        self._app = app
        self._hops = hops

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR", "")
        if ":" in peer:
            # A listener on [::] sees IPv4 peers as ::ffff:192.0.2.1, and neighbours on the link with a zone.
            environ["REMOTE_ADDR"] = address_in(peer.partition("%")[0]) or peer
        if self._hops:
            self._believe(environ)
        return self._app(environ, start_response)

    def _believe(self, environ: Environ) -> None:
        address = address_in(_told(environ, "FOR", self._hops))
        if address is not None:
            environ["REMOTE_ADDR"] = address
        host = _told(environ, "HOST", self._hops)
        if host:
            environ["HTTP_HOST"] = host
        scheme = _told(environ, "PROTO", self._hops)
        if scheme in _SCHEMES:
            environ["wsgi.url_scheme"] = scheme


def address_in(text: str) -> str | None:
    """Return the IP address in a value of ``X-Forwarded-For``, without port and brackets; None if there is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(plain_address(text))
    except ValueError:
        return None


def _told(environ: Environ, name: str, hops: int) -> str:
    values = environ.get(f"HTTP_X_FORWARDED_{name}", "").rsplit(",", hops)[-hops:]
    value: str = values[0].strip() if len(values) == hops else ""
    return value if len(value) <= _LONGEST else ""
