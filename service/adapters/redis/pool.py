"""redis-py's client and pools, with a shorter way for what happens every time.

The library measures and guards each command at a cost that was half of it here (docs/adr/0028): counters that nobody
reads, a closure for retries, a poll through gevent's hub, locks. Whatever is out of the ordinary goes the library's way.
"""

import os
from select import POLLIN
from typing import Any

from gevent.monkey import get_original
from hiredis import pack_command
from redis import ConnectionPool, Redis, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import SentinelConnectionPool, SentinelManagedConnection

# Asked with no time to wait, so it has nothing to give way to.
_poll = get_original("select", "poll")


def _is_ready(connection: Any) -> bool:
    """Connected, and nothing unread that belongs to a command before: neither an answer nor the end."""
    sock, reader = connection._sock, connection._parser._reader  # noqa: SLF001  the library has no names for them
    if sock is None or reader is None or reader.has_data() or (hasattr(sock, "pending") and sock.pending()):
        return False
    poll = _poll()
    poll.register(sock.fileno(), POLLIN)
    return not poll.poll(0)


class _Quick(ConnectionPool):
    """Hands out the connection that was used last, if it is ready.

    Without the library's lock: each step here is one of Python's own that no other thread comes between.
    """

    _available_connections: list[Any]
    _in_use_connections: set[Any]

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """One of the pool's, connected. The library no longer looks at the arguments."""
        if self.pid == os.getpid():
            try:
                connection = self._available_connections.pop()
            except IndexError:
                pass
            else:
                self._in_use_connections.add(connection)
                if _is_ready(connection):
                    return connection
                super().release(connection)
        return super().get_connection()

    def release(self, connection: Any) -> None:
        """Take it back."""
        usual = self.pid == os.getpid() and self.owns_connection(connection)
        if not usual or connection not in self._in_use_connections:
            super().release(connection)
            return
        self._in_use_connections.discard(connection)
        self._available_connections.append(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002  the library's signature
        """Disconnect what is idle, and what is in use as well unless told otherwise."""
        # Copies, because the lists change meanwhile.
        for connection in [
            *self._available_connections,
            *(self._in_use_connections if inuse_connections else ()),
        ]:
            connection.disconnect()


class Pool(_Quick):
    """Of one server, or of a cluster's node."""


class _Managed(SentinelManagedConnection):
    """Ends where an answer did not come in time.

    The library's keeps it open; what a paused master answers later would be taken for the next command's answer.
    """

    def read_response(self, *args: Any, disconnect_on_error: bool | None = True, **options: Any) -> Any:
        """The next answer."""
        return super().read_response(*args, disconnect_on_error=disconnect_on_error, **options)


class _ManagedSSL(_Managed, SSLConnection):
    """The same over TLS."""


class SentinelPool(_Quick, SentinelConnectionPool):
    """Of the master that the sentinels name."""

    def __init__(self, *args: Any, ssl: bool = False, **options: Any) -> None:
        kind = _ManagedSSL if ssl else _Managed
        super().__init__(*args, connection_class=kind, **options)  # type: ignore[no-untyped-call]  # redis-py types it in part


class Client(Redis):
    """Of one server, or of the master that the sentinels name."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command, and its answer. A connection that was closed under us is opened again once."""
        pool: Any = self.connection_pool
        connection = pool.get_connection()
        try:
            try:
                return self._asked(connection, args, options)
            except RedisConnectionError:
                connection.disconnect()
            return self._asked(connection, args, options)
        finally:
            pool.release(connection)

    def _asked(self, connection: Any, args: Any, options: Any) -> Any:
        if " " in args[0]:
            # A command of two words; the library takes them apart.
            connection.send_command(*args)
        else:
            connection.send_packed_command([pack_command(args)], check_health=False)
        return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call]  # redis-py types it in part
