"""From WAITCALL_REDIS_URL to a client whose every command ends in bounded time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from service.adapters.redis.durable import TooFewReplicas
from service.domain.errors import StoreUnavailable
from service.redis_url import Address

Client = Redis | RedisCluster

TIMEOUT_SECONDS = 0.8
"""Of one connect and of one answer. A request gives up at the first step that fails and then at most cleans
up once, so that 503 comes well within the contract's 5 s even when the server hangs."""
CLUSTER_TIMEOUT_SECONDS = 0.5
"""Shorter, because a cluster's client asks the other nodes, one after another, before it gives up."""
TURN_SECONDS = 1.2
"""A step waits so long for a free connection: behind a burst it is still answered, behind a hanging server 503."""
RETRY_AFTER_SECONDS = 2


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


def connector(address: Address, max_connections: int) -> Callable[[], Client]:
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
            return lambda: sentinel.master_for(address.service, **options, **tls)
        case _:
            return lambda: Redis.from_url(address.url, **options)


class Connection:
    """The client, made at first use, and the one place where its errors become ours."""

    def __init__(
        self, connect: Callable[[], Client], count_error: Callable[[str], None], max_steps: int = 64
    ) -> None:
        """``max_steps`` at once; another waits TURN_SECONDS for its turn."""
        self._connect = connect
        self.count_error = count_error
        self._turns = BoundedSemaphore(max_steps)
        self._client: Client | None = None

    @contextmanager
    def using(self, operation: str) -> Iterator[Any]:
        """The client, for one operation.

        Raises:
            StoreUnavailable: whatever Redis failed with, counted under ``operation``.
        """
        if not self._turns.acquire(timeout=TURN_SECONDS):
            self.count_error(operation)
            raise StoreUnavailable(retry_after=RETRY_AFTER_SECONDS)
        try:
            if self._client is None:
                self._client = self._connect()
            yield self._client
        except (RedisError, RedisClusterException, OSError) as error:
            self.count_error(operation)
            if isinstance(error, TooFewReplicas):
                self._ask_sentinel_again()
            raise StoreUnavailable(retry_after=RETRY_AFTER_SECONDS) from error
        finally:
            self._turns.release()

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
