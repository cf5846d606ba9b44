"""redis-py's client and pools, with a shorter way for what happens every time.

The library measures and guards each command at a cost that was half of it here (docs/adr/0028): counters that nobody
reads, a closure for retries, a poll through gevent's hub, locks. Whatever is out of the ordinary goes the library's way.
"""

import os
from collections.abc import Sequence
from select import POLLIN
from typing import Any

from gevent.monkey import get_original
from hiredis import pack_command
from redis import ConnectionPool, Redis, SSLConnection
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import SentinelConnectionPool, SentinelManagedConnection

_LEFT_TO_THE_LIBRARY = frozenset({EMPTY_RESPONSE, NEVER_DECODE})

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
    """Ends where an answer did not come in time, also when the library reads it.

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
        name = args[0]
        if " " in name or _LEFT_TO_THE_LIBRARY & options.keys():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py types it in part
        answer = self.at_once([args])[0]
        if isinstance(answer, Exception):
            raise answer
        callback = self.response_callbacks.get(name)
        if callback is None:
            return answer
        options.pop("keys", None)
        return callback(answer, **options)

    def at_once(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Several commands in one round trip: their answers as Redis gave them, errors among them.

        A connection that was closed under us is opened again once.
        """
        request = b"".join([pack_command(each) for each in commands])
        pool: Any = self.connection_pool
        connection = pool.get_connection()
        try:
            try:
                return _answered(connection, request, len(commands))
            except RedisConnectionError:
                connection.connect()
            return _answered(connection, request, len(commands))
        finally:
            pool.release(connection)

    def values(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The same, where an error is raised: the first."""
        answers = self.at_once(commands) if commands else []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


def _answered(connection: Any, request: bytes, count: int) -> list[Any]:
    """Write it, and read so many answers; whatever comes in between ends the connection."""
    sock, parser = connection._sock, connection._parser  # noqa: SLF001  the library has no names for them
    reader, buffer = parser._reader, parser._buffer  # noqa: SLF001  as above
    if sock is None or reader is None:
        # Somebody has closed the pool since it was handed out.
        raise RedisConnectionError("The connection was closed.")
    answers: list[Any] = []
    try:
        sent = sock.send(request)
        if sent < len(request):
            sock.sendall(memoryview(request)[sent:])
        while len(answers) < count:
            answer = reader.gets()
            if answer is not NOT_ENOUGH_DATA:
                answers.append(answer)
                continue
            received = sock.recv_into(buffer)
            if not received:
                raise RedisConnectionError("The server ended the connection.")  # noqa: TRY301  handled like the others
            reader.feed(buffer, 0, received)
    except BaseException as error:
        connection.disconnect()
        if isinstance(error, TimeoutError):
            raise RedisTimeoutError("No answer in time.") from error
        if isinstance(error, OSError):
            raise RedisConnectionError(str(error)) from error
        raise
    if isinstance(connection, SentinelManagedConnection) and isinstance(answers[0], ReadOnlyError):
        # It was the master; the sentinels name another.
        connection.disconnect()
        raise RedisConnectionError("The previous master is now a replica.")
    return answers
