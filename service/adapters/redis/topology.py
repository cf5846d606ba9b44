"""How the servers are reached: one class each for a single server, one behind Sentinel, and a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import Any

from redis import ConnectionPool, Redis, RedisCluster, SSLConnection
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from service.redis_url import Address

AnyClient = Redis | RedisCluster

TIMEOUT_SECONDS = 0.8
"""Longest wait for one connect and for one answer. A request gives up at the first step that fails and then at most
cleans up once, so that 503 comes well within the contract's 5 s even when the server hangs."""
CLUSTER_TIMEOUT_SECONDS = 0.5
"""Shorter, because a cluster's client asks the other nodes, one after another, before it gives up."""
TURN_SECONDS = 1.2
"""A step waits so long for a free client: behind a burst it is still answered, behind a hanging server 503."""


class OneConnection(ConnectionPool):
    """A pool of one connection, which the commands and the pipelines of its client use in turn.

    redis-py's own pools check each hand-out for unread data: more than half the cost of a command. Here the connection
    ends instead whenever an answer may be left unread (``Connection.using``).
    """

    connection: Any = None

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """Connect, if need be."""
        if self.connection is None:
            self.connection = self.make_connection()
        if not self.connection.is_connected:
            self.connection.connect()
        return self.connection

    def release(self, connection: Any) -> None:
        """Do nothing: the connection stays where it is."""

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002  the library's signature
        """End the connection. The next command opens it again."""
        # The library ends idle ones where the sentinels name another master; this one is being connected then.
        if self.connection is not None and inuse_connections:
            self.connection.disconnect()


class Managed(SentinelManagedConnection):
    """Connection to the master that the sentinels name.

    redis-py's own stays open where an answer did not come in time, and takes what a paused master answers later for the
    answer to the next command; and where it ended it connects to the previous master without asking the sentinels.
    """

    def read_response(self, *args: Any, disconnect_on_error: bool | None = True, **options: Any) -> Any:
        """Read the next answer, or end."""
        return super().read_response(*args, disconnect_on_error=disconnect_on_error, **options)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002  the library's signature
        """Write a command; where the connection has ended, to the master that the sentinels name now."""
        if not self.is_connected:
            self.connect()  # type: ignore[no-untyped-call]  # redis-py types it in part
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]  # redis-py types it in part


class ManagedSSL(Managed, SSLConnection):
    """Managed connection over TLS."""


class SentinelOneConnection(OneConnection, SentinelConnectionPool):
    """One connection to the master that the sentinels name."""


class OneServer(ABC):
    """One server that has every key, however it is found.

    Attributes:
        one_server: whether a script may touch all keys together.
        any_node: options of a command that any server may answer.
    """

    one_server = True
    any_node: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def client(self) -> Redis:
        """Make a client of one connection, opened by the first command."""

    def end(self, client: AnyClient) -> None:
        """End the connection of a client, which opens it again when it is used."""
        client.close()

    def close(self) -> None:  # noqa: B027  a method that has nothing to do here
        """Do nothing: clients share no connection."""

    def route(self, _client: AnyClient, _key: str) -> Mapping[str, Any]:
        """Options that send a script in a pipeline to the server of its keys."""
        return self.any_node

    def server_of(self, client: Any, _key: str) -> tuple[str, Redis]:
        """Name and client of the server that has a key."""
        return "", client

    def subscriber(self, _client: AnyClient, _key: str) -> Redis:
        """Client for a subscription at the server that has a key."""
        return self.client()

    def one_each(self, _client: AnyClient, keys: Sequence[str]) -> Sequence[str]:
        """One of the keys for each server."""
        return keys[:1]

    def look_again(self, _client: AnyClient) -> None:  # noqa: B027  a method that has nothing to do here
        """Do nothing: there are no slots to learn."""


class Standalone(OneServer):
    """A single server."""

    def __init__(self, address: Address) -> None:
        self._make = partial(OneConnection.from_url, address.url, **_options())

    def client(self) -> Redis:
        """Make a client of one connection, opened by the first command."""
        return Redis.from_pool(self._make())


class BehindSentinel(OneServer):
    """The master that the sentinels name."""

    def __init__(self, address: Address) -> None:
        tls = {"ssl": True} if address.tls else {}
        sentinel = Sentinel(
            list(address.nodes),
            sentinel_kwargs={**_options(retries=0), **tls},
            db=address.db,
            username=address.username,
            password=address.password,
        )
        self._make = partial(
            sentinel.master_for,
            address.service,
            connection_pool_class=SentinelOneConnection,
            connection_class=ManagedSSL if address.tls else Managed,
            **_options(),
        )

    def client(self) -> Redis:
        """Make a client of one connection, opened by the first command."""
        made: Redis = self._make()
        return made


class Cluster:
    """A cluster. Its client knows the slots and has pools of its own, so that all share one."""

    one_server = False
    any_node: Mapping[str, Any] = MappingProxyType({"target_nodes": RedisCluster.RANDOM})

    def __init__(self, address: Address, max_connections: int) -> None:
        """``max_connections``: to each node."""
        self._make = partial(
            RedisCluster,
            startup_nodes=[ClusterNode(host, port) for host, port in address.nodes],
            username=address.username,
            password=address.password,
            # Only the nodes of the URL are asked again, however many the cluster has.
            dynamic_startup_nodes=False,
            # Some more: subscriptions have their own, and the client asks for its slots.
            max_connections=max_connections + 8,
            **_options(CLUSTER_TIMEOUT_SECONDS)
            # The client's own retries come on top of each node's.
            | {"retry": Retry(NoBackoff(), 1)}
            | ({"ssl": True} if address.tls else {}),
        )
        self._client: RedisCluster | None = None
        self._making = Lock()

    def client(self) -> RedisCluster:
        """Make the client, which asks the cluster for its slots: once, however many come first."""
        if self._client is None:
            if not self._making.acquire(timeout=TURN_SECONDS):
                raise RedisTimeoutError("Somebody else is still connecting.")
            try:
                if self._client is None:
                    self._client = self._make()
            finally:
                self._making.release()
        return self._client

    def end(self, _client: AnyClient) -> None:
        """Do nothing: the client's own pools check what they hand out, and others use it."""

    def close(self) -> None:
        """End the connections."""
        if self._client is not None:
            self._client.close()

    def route(self, client: Any, key: str) -> Mapping[str, Any]:
        """Name the node. Left to itself the pipeline asks one for the script's keys: a round trip for each script."""
        return {"target_nodes": client.get_node_from_key(key)}

    def server_of(self, client: Any, key: str) -> tuple[str, Redis]:
        """Name and client of the node that has a key's slot."""
        node = client.get_node_from_key(key)
        return node.name, client.get_redis_connection(node)

    def subscriber(self, client: Any, key: str) -> Redis:
        """The client of the node, whose pool has a connection to spare."""
        return self.server_of(client, key)[1]

    def one_each(self, client: Any, keys: Sequence[str]) -> Sequence[str]:
        """One of the keys for each node that has any."""
        return list({self.server_of(client, key)[0]: key for key in keys}.values())

    def look_again(self, client: Any) -> None:
        """Ask the nodes for the slots."""
        client.nodes_manager.initialize()


Topology = Standalone | BehindSentinel | Cluster


def topology_of(address: Address, max_connections: int) -> Topology:
    """How the servers of an address are reached. Nothing is asked before the first use."""
    match address.scheme:
        case "redis+cluster":
            return Cluster(address, max_connections)
        case "redis+sentinel":
            return BehindSentinel(address)
        case _:
            return Standalone(address)


def _options(timeout_seconds: float | None = None, retries: int = 1) -> dict[str, Any]:
    # A connection that was closed under us (a restart, a fail-over) is opened again once, at once.
    # A timeout is not retried: it has used its time, and the command may have run.
    return {
        "socket_timeout": timeout_seconds or TIMEOUT_SECONDS,
        "socket_connect_timeout": timeout_seconds or TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), retries, (RedisConnectionError,)),
        "protocol": 2,
    }
