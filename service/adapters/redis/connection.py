"""Clients of Redis, handed out so many at once, and their errors as ours."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue
from time import monotonic
from typing import Any

from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.adapters.redis.topology import TURN_SECONDS, AnyClient, Topology
from service.domain.errors import StoreUnavailable

OUTAGES = (RedisError, RedisClusterException, OSError)
RETRY_AFTER_SECONDS = 2
COMPLAIN_SECONDS = 10.0
"""One kind of failure is logged once in so many seconds by each process."""
_MOST_WORDS = 16
_TELLING = re.compile(r"[0-9]{3}|[:{}@/*]")
"""A word like this may be part of a key, a value, an address or a hash."""

_log = logging.getLogger(__name__)


class TooFewReplicas(RedisError):
    """It happened at the master, and may be lost with it. To be answered like an outage."""


def words_of(error: BaseException) -> str:
    """The kind of an error and the first words of the server, without keys, values and addresses."""
    code = getattr(error, "status_code", None)
    text = f"{code} {error}" if code else str(error)
    words = ["…" if _TELLING.search(word) else word for word in text.split()[:_MOST_WORDS]]
    return " ".join((f"{type(error).__name__}:", *words)).strip(": ")


class Connection:
    """Clients, each for one user at a time, and the one place where their errors become ours."""

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
            count_error: told the operation of each step that failed.
            max_steps: at once; another waits TURN_SECONDS for its turn.
            count_unreadable: told where an entry was found that cannot be read.
        """
        self.topology = topology
        self.count_error = count_error
        self._count_unreadable = count_unreadable
        self._complained: dict[str, float] = {}
        # The one that was used last is handed out first, so that no more are made than are needed.
        self._free: LifoQueue[AnyClient | None] = LifoQueue()
        for _ in range(max_steps):
            self._free.put(None)

    @contextmanager
    def using(self, operation: str) -> Iterator[Any]:
        """Lend a client for one operation.

        Raises:
            StoreUnavailable: whatever Redis failed with, counted under ``operation``.
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
            # An answer like any other, and the last one.
            raise self.failed(operation, error) from error
        except BaseException as error:
            # Whoever was stopped may have left an answer behind, and the next would take it for its own.
            if client is not None:
                self.topology.end(client)
            if isinstance(error, OUTAGES):
                raise self.failed(operation, error) from error
            raise
        finally:
            self._free.put(client)

    def failed(self, operation: str, error: BaseException | None) -> StoreUnavailable:
        """Count it, say why, and draw the conclusions. Returns what to raise."""
        self.count_error(operation)
        cause = words_of(error) if error else "no connection was free in time"
        self._complain(operation, cause)
        if isinstance(error, TooFewReplicas | RedisTimeoutError):
            # The master may have been replaced without knowing it yet. It stays one for us as long as a connection to it
            # is kept.
            self._end_idle()
        unavailable = StoreUnavailable(retry_after=RETRY_AFTER_SECONDS)
        unavailable.cause = cause
        return unavailable

    def unreadable(self, where: str, error: Exception) -> None:
        """Count an entry that cannot be read, and say where it is; never what it holds."""
        self._count_unreadable(where)
        _log.error("unreadable entry", extra={"where": where, "error": type(error).__name__})

    def skip(self, where: str, error: Exception) -> None:
        """Count a key that holds something of another type.

        Raises:
            Exception: any other error.
        """
        if not str(error).startswith("WRONGTYPE"):
            raise error
        self.unreadable(where, error)

    def _complain(self, operation: str, cause: str) -> None:
        # A failing store fails every request; its words are told now and then.
        now, kind = monotonic(), cause.partition(" ")[0]
        if now - self._complained.get(kind, -COMPLAIN_SECONDS) >= COMPLAIN_SECONDS:
            self._complained[kind] = now
            _log.error("redis refuses", extra={"operation": operation, "cause": cause})

    def close(self) -> None:
        """Give the sockets back."""
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
