"""From WAITCALL_REDIS_URL to a client whose every command ends in bounded time."""

import logging
import re
from collections import deque
from collections.abc import Callable
from threading import Condition, Lock
from time import monotonic
from types import TracebackType
from typing import Any

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from service.adapters.redis.durable import TooFewReplicas
from service.adapters.redis.pool import Client, Pool, SentinelPool
from service.domain.errors import StoreUnavailable
from service.redis_url import Address

AnyClient = Redis | RedisCluster

TIMEOUT_SECONDS = 0.8
"""Of one connect and of one answer. A request gives up at the first step that fails and then at most cleans
up once, so that 503 comes well within the contract's 5 s even when the server hangs."""
CLUSTER_TIMEOUT_SECONDS = 0.5
"""Shorter, because a cluster's client asks the other nodes, one after another, before it gives up."""
TURN_SECONDS = 1.2
"""A step waits so long for a free connection: behind a burst it is still answered, behind a hanging server 503."""
RETRY_AFTER_SECONDS = 2
COMPLAIN_SECONDS = 10.0
"""One kind of failure is logged once in so many seconds by each process."""
_MOST_WORDS = 16
_TELLING = re.compile(r"[0-9]{3}|[:{}@/*]")
"""A word like this may be part of a key, a value, an address or a hash."""

_log = logging.getLogger(__name__)


def _options(max_connections: int) -> dict[str, Any]:
    # A connection that was closed under us (a restart, a fail-over) is opened again once, at once.
    # A timeout is not retried: it has used its time, and the command may have run.
    return {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 1, (RedisConnectionError,)),
        # Some more: a process's feed has its own, and a cluster's client asks for its slots.
        "max_connections": max_connections + 8,
        "protocol": 2,
    }


# The cluster client's own retries come on top of each node's.
_CLUSTER_OPTIONS: dict[str, Any] = {
    "socket_timeout": CLUSTER_TIMEOUT_SECONDS,
    "socket_connect_timeout": CLUSTER_TIMEOUT_SECONDS,
    "retry": Retry(NoBackoff(), 1),
}


def connector(address: Address, max_connections: int) -> Callable[[], AnyClient]:
    """How to make the client. Making one for a cluster asks its nodes, so it waits for the first use."""
    options = _options(max_connections)
    match address.scheme:
        case "redis+cluster":
            nodes = [ClusterNode(host, port) for host, port in address.nodes]
            return lambda: RedisCluster(
                startup_nodes=nodes,
                username=address.username,
                password=address.password,
                # Only the nodes of the URL are asked again, however many the cluster has.
                dynamic_startup_nodes=False,
                **options | _CLUSTER_OPTIONS | ({"ssl": True} if address.tls else {}),
            )
        case "redis+sentinel":
            tls = {"ssl": True} if address.tls else {}
            sentinel = Sentinel(
                list(address.nodes),
                sentinel_kwargs={
                    "socket_timeout": TIMEOUT_SECONDS,
                    "socket_connect_timeout": TIMEOUT_SECONDS,
                    "retry": Retry(NoBackoff(), 0),
                    **tls,
                },
                db=address.db,
                username=address.username,
                password=address.password,
            )
            return lambda: sentinel.master_for(address.service, Client, SentinelPool, **options, **tls)
        case _:
            return lambda: Client.from_pool(Pool.from_url(address.url, **options))


def words_of(error: BaseException) -> str:
    """The kind of an error and the first words of the server, without keys, values and addresses."""
    code = getattr(error, "status_code", None)
    text = f"{code} {error}" if code else str(error)
    words = ["…" if _TELLING.search(word) else word for word in text.split()[:_MOST_WORDS]]
    return " ".join((f"{type(error).__name__}:", *words)).strip(": ")


class Turns:
    """So many at once. Unlike a semaphore it costs nothing while there are free ones."""

    def __init__(self, most: int) -> None:
        self._free = deque([None] * most)
        self._changed = Condition()
        self._waiting = 0

    def take(self, seconds: float) -> bool:
        """Wait so long for one at most; whether there was one."""
        return self._taken() or self._waited(seconds)

    def give_back(self) -> None:
        """Let the next one have it."""
        self._free.append(None)
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def _taken(self) -> bool:
        # Looking first and taking then would be two steps.
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def _waited(self, seconds: float) -> bool:
        with self._changed:
            # Who waits says so before it looks again, and who gives back looks after it has given.
            self._waiting += 1
            try:
                return self._changed.wait_for(self._taken, seconds)
            finally:
                self._waiting -= 1


class Connection:
    """The client, made at first use, and the one place where its errors become ours."""

    def __init__(
        self,
        connect: Callable[[], AnyClient],
        count_error: Callable[[str], None],
        max_steps: int = 64,
        count_unreadable: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Args:
            connect: makes the client.
            count_error: told the operation of each step that failed.
            max_steps: at once; another waits TURN_SECONDS for its turn.
            count_unreadable: told where an entry was found that cannot be read.
        """
        self._connect = connect
        self.count_error = count_error
        self._count_unreadable = count_unreadable
        self._complained: dict[str, float] = {}
        self.turns = Turns(max_steps)
        self._client: AnyClient | None = None
        self._making = Lock()

    def using(self, operation: str) -> "Using":
        """The client, for one operation, in a ``with``.

        Raises:
            StoreUnavailable: whatever Redis failed with, counted under ``operation``.
        """
        return Using(self, operation)

    def client(self) -> AnyClient:
        """The one of this process.

        Raises:
            RedisError, RedisClusterException, OSError: it cannot be made.
        """
        # A cluster's asks the cluster while it is made: once, however many come first.
        if self._client is None:
            if not self._making.acquire(timeout=TURN_SECONDS):
                raise RedisTimeoutError("Somebody else is still connecting.")
            try:
                if self._client is None:
                    self._client = self._connect()
            finally:
                self._making.release()
        return self._client

    def failed(self, operation: str, error: BaseException | None) -> StoreUnavailable:
        """Count it, say why, and draw the conclusions. Returns what to raise."""
        self.count_error(operation)
        cause = words_of(error) if error else "no connection was free in time"
        self._complain(operation, cause)
        if isinstance(error, TooFewReplicas):
            self._ask_sentinel_again()
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

    def _ask_sentinel_again(self) -> None:
        # A master that lost its replicas may have been replaced without knowing it yet; it stays one for us as
        # long as a connection to it lies in the pool.
        pool = getattr(self._client, "connection_pool", None)
        if isinstance(pool, SentinelConnectionPool):
            pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Give the sockets back."""
        if self._client is not None:
            self._client.close()


class Using:
    """One operation: a turn, the client, and its errors as ours."""

    __slots__ = ("_connection", "_operation")

    def __init__(self, connection: Connection, operation: str) -> None:
        self._connection = connection
        self._operation = operation

    def __enter__(self) -> Any:
        connection = self._connection
        if not connection.turns.take(TURN_SECONDS):
            raise connection.failed(self._operation, None)
        try:
            return connection.client()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.turns.give_back()
        if isinstance(error, RedisError | RedisClusterException | OSError):
            raise self._connection.failed(self._operation, error) from error
