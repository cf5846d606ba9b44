"""What one server announces of changed records, on a connection of its own.

redis-py's PubSub keeps books that nobody reads and sends each command alone; here those of a moment leave together.
"""

from collections.abc import Iterable
from typing import Any

from hiredis import pack_command
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.exceptions import ConnectionError as RedisConnectionError

CONFIRMED, CHANGED = b"ssubscribe", b"smessage"
_ENDED = "The server ended the connection."


class Announcements:
    """For one thread. Every method may raise RedisError or OSError; then it is to be closed."""

    def __init__(self, client: Any) -> None:
        """``client``: of that server."""
        # Kept, because a client that nobody has closes its pool.
        self._client = client
        self._pool = client.connection_pool
        self._connection: Any = self._pool.get_connection()

    def follow(self, added: Iterable[str], gone: Iterable[str]) -> None:
        """Ask for those of ``added``, and no longer for those of ``gone``."""
        # One by one: a node of a cluster takes several channels at once only where they share a slot.
        commands: list[tuple[Any, ...]] = [("SSUBSCRIBE", key) for key in added]
        commands += [("SUNSUBSCRIBE", key) for key in gone]
        sock, _ = self._opened()
        sock.sendall(b"".join([pack_command(each) for each in commands]))

    def next(self, seconds: float) -> tuple[bytes, str] | None:
        """Kind and key of the next; None where none comes within ``seconds``."""
        sock, reader = self._opened()
        answer = reader.gets()
        if answer is NOT_ENOUGH_DATA:
            if not self._connection.can_read(seconds):
                return None
            buffer = self._connection._parser._buffer  # noqa: SLF001  the library has no name for it
            received = sock.recv_into(buffer)
            if not received:
                raise RedisConnectionError(_ENDED)
            reader.feed(buffer, 0, received)
            answer = reader.gets()
        if answer is NOT_ENOUGH_DATA:
            return None
        if isinstance(answer, Exception):
            raise answer
        kind, key, _ = answer
        return kind, key.decode()

    def close(self) -> None:
        """Ends the connection: what was subscribed goes with it."""
        self._connection.disconnect()
        self._pool.release(self._connection)

    def _opened(self) -> tuple[Any, Any]:
        # The library would open it again, and nothing would be subscribed.
        sock, reader = self._connection._sock, self._connection._parser._reader  # noqa: SLF001  as above
        if sock is None or reader is None:
            raise RedisConnectionError(_ENDED)
        return sock, reader
