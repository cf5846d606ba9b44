"""urllib3's connections, with shorter ways for what happens with each request (docs/adr/0031)."""

from select import POLLIN
from typing import Any

from gevent.monkey import get_original
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

# Asked with no time to wait, so it has nothing to give way to.
_poll = get_original("select", "poll")


class _InOnePiece(HTTPConnection):
    """Sends head and body at once: the library sends them one by one, each a system call and over TLS a record."""

    _held: list[bytes] | None = None

    def request(self, *args: Any, **options: Any) -> None:
        """One request."""
        held: list[bytes] = []
        self._held = held
        try:
            super().request(*args, **options)
        finally:
            self._held = None
        super().send(b"".join(held))

    def send(self, data: Any) -> None:
        """Keep it until the request is whole."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    @property
    def is_connected(self) -> bool:
        """Open, with nothing to read: neither the end nor what belongs to no request."""
        if self.sock is None:
            return False
        poll = _poll()
        poll.register(self.sock.fileno(), POLLIN)
        return not poll.poll(0)


class _Secured(_InOnePiece, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _InOnePiece


class _SecuredPool(HTTPSConnectionPool):
    ConnectionCls = _Secured


def pools(**options: Any) -> PoolManager:
    """A PoolManager of such connections, for bodies in bytes; ``options`` are its own."""
    made = PoolManager(**options)
    made.pool_classes_by_scheme = {"http": _Pool, "https": _SecuredPool}
    return made
