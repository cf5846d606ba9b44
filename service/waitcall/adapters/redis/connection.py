"""A limited number of Redis clients, lent to one step at a time, and the translation of their errors."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue
from time import monotonic
from typing import Any

from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from waitcall.adapters.redis.topology import TURN_SECONDS, AnyClient, Topology
from waitcall.domain.errors import StoreUnavailable

OUTAGES = (RedisError, RedisClusterException, OSError)
RETRY_AFTER_SECONDS = 2
COMPLAIN_SECONDS = 10.0
"""Each process logs one kind of failure at most once in this time."""
_MOST_WORDS = 16
_TELLING = re.compile(r"[0-9]{3}|[:{}@/*]")
"""Pattern of words that may be part of a key, a value, an address or a hash."""

_log = logging.getLogger(__name__)


class TooFewReplicas(RedisError):
    """The master has done the write, but too few replicas confirmed it, so it may be lost. Treat it like an outage."""


def words_of(error: BaseException) -> str:
    """Return the type of an error and the first words of its message, without keys, values and addresses."""
    code = getattr(error, "status_code", None)
    text = f"{code} {error}" if code else str(error)
    words = ["…" if _TELLING.search(word) else word for word in text.split()[:_MOST_WORDS]]
    return " ".join((f"{type(error).__name__}:", *words)).strip(": ")


class Connection:
    """Lends Redis clients, each to one user at a time, and turns their errors into StoreUnavailable."""

    def __init__(
        self,
        topology: Topology,
        count_error: Callable[[str], None],
        max_steps: int = 64,
        count_unreadable: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Args:
            topology: makes the clients.
            count_error: called with the operation of each step that failed.
            max_steps: steps that may run at the same time. A further one waits up to TURN_SECONDS for its turn.
            count_unreadable: called with the kind of each entry that cannot be read.
        """
        self.topology = topology
        self.count_error = count_error
        self._count_unreadable = count_unreadable
        self._complained: dict[str, float] = {}
        # The client that was used last is lent first, so that no more clients are made than needed.
        self._free: LifoQueue[AnyClient | None] = LifoQueue()
        for _ in range(max_steps):
            self._free.put(None)

    @contextmanager
    def using(self, operation: str) -> Iterator[Any]:
        """Lend a client for one operation.

        Raises:
            StoreUnavailable: Redis failed, or no client was free in time. Counted under ``operation``.
        """
        try:
            client = self._free.get(timeout=TURN_SECONDS)
        except Empty:
            raise self.failed(operation, None) from None
        try:
            if client is None:
                client = self.topology.client()
            yield client
        except ResponseError as error:
            # An error answer is a complete answer, so the connection can be used again.
            raise self.failed(operation, error) from error
        except BaseException as error:
            # An unread answer may be left on the connection, and the next user would take it for its own.
            if client is not None:
                self.topology.end(client)
            if isinstance(error, OUTAGES):
                raise self.failed(operation, error) from error
            raise
        finally:
            self._free.put(client)

    def failed(self, operation: str, error: BaseException | None) -> StoreUnavailable:
        """Count and log a failed operation, and return the exception to raise.

        ``error``: None if no client was free. After a timeout or TooFewReplicas, idle connections are closed as well.
        """
        self.count_error(operation)
        cause = words_of(error) if error else "no connection was free in time"
        self._complain(operation, cause)
        if isinstance(error, TooFewReplicas | RedisTimeoutError):
            # The master may have been replaced and not know it yet. Close the connections to it, so that new ones go to
            # the new master.
            self._end_idle()
        unavailable = StoreUnavailable(retry_after=RETRY_AFTER_SECONDS)
        unavailable.cause = cause
        return unavailable

    def unreadable(self, where: str, error: Exception) -> None:
        """Count and log an entry that cannot be read: its kind and the error's type, never its content."""
        self._count_unreadable(where)
        _log.error("unreadable entry", extra={"where": where, "error": type(error).__name__})

    def skip(self, where: str, error: Exception) -> None:
        """Count a key whose value is of a wrong type, so that the caller can go on without it.

        Raises:
            Exception: ``error`` itself, if it is any other error.
        """
        if not str(error).startswith("WRONGTYPE"):
            raise error
        self.unreadable(where, error)

    def _complain(self, operation: str, cause: str) -> None:
        # A failing store fails every request, so log each kind of failure only now and then.
        now, kind = monotonic(), cause.partition(" ")[0]
        if now - self._complained.get(kind, -COMPLAIN_SECONDS) >= COMPLAIN_SECONDS:
            self._complained[kind] = now
            _log.error("redis operation failed", extra={"operation": operation, "cause": cause})

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._end_idle()
        self.topology.close()

    def _end_idle(self) -> None:
        idle: list[AnyClient | None] = []
        with suppress(Empty):
            while True:
                idle.append(self._free.get_nowait())
        for client in reversed(idle):
            if client is not None:
                self.topology.end(client)
            self._free.put(client)
