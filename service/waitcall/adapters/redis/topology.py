"""Ways to reach the Redis servers: a class for a single server, one for a master behind Sentinel, one for a cluster."""

import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from threading import Lock
from time import monotonic
from types import MappingProxyType
from typing import Any

from redis import ConnectionPool, Redis, RedisCluster, SSLConnection
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from waitcall.configuration.redis_url import Address

AnyClient = Redis | RedisCluster

TIMEOUT_SECONDS = 0.8
"""Longest wait for one connect and for one answer. A request gives up at the first step that fails, and then does at most
one step to clean up. So even if the server hangs, 503 comes well within the contract's 5 s."""
CLUSTER_TIMEOUT_SECONDS = 0.5
"""Longest wait for one connect and one answer of a cluster's node. The client tries other nodes before it gives up."""
SENTINELS_SECONDS = 2.0
"""Longest wait for all sentinels together, if each hangs. No further one is asked after it, because names may hang longer."""
LOST_SECONDS = 3
"""Time in which the server's machine must confirm what was sent. Then the system ends the connection. Else a subscription to a
machine that is gone would seem to work for a quarter of an hour, because it only waits for messages."""
TURN_SECONDS = 1.2
"""Longest wait of a step for a free client. It is long enough for a burst, and ends in 503 if the server hangs."""


class OneConnection(ConnectionPool):
    """A pool of one connection, which the commands and pipelines of its client use in turn.

    redis-py's own pools check for unread data each time they hand out a connection, which is more than half the cost of a
    command. Here ``Connection.using`` ends the connection instead whenever an answer may be left unread.
    """

    connection: Any = None

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return the connection, and connect it if need be."""
        if self.connection is None:
            self.connection = self.make_connection()
        if not self.connection.is_connected:
            self.connection.connect()
        return self.connection

    def release(self, connection: Any) -> None:
        """Do nothing, because there is only one connection."""

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002  the library's signature
        """End the connection. The next command opens it again."""
        # When the sentinels name another master, the library ends idle connections only. This one is just being
        # connected then, so it must stay.
        if self.connection is not None and inuse_connections:
            self.connection.disconnect()


class SentinelConnection(SentinelManagedConnection):
    """Connection to the master that the sentinels name.

    It corrects two faults of redis-py's own class. That one stays open after a timeout, so it takes the late answer of a
    paused master for the answer to the next command. And after it has ended, it connects to the previous master again
    without asking the sentinels.
    """

    def read_response(self, *args: Any, disconnect_on_error: bool | None = True, **options: Any) -> Any:
        """Read the next answer. End the connection if that fails."""
        return super().read_response(*args, disconnect_on_error=disconnect_on_error, **options)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002  the library's signature
        """Write a command. If the connection has ended, first connect to the master that the sentinels name now."""
        if not self.is_connected:
            self.connect()  # type: ignore[no-untyped-call]  # redis-py types it in part
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]  # redis-py types it in part


class SentinelTlsConnection(SentinelConnection, SSLConnection):
    """Connection over TLS to the master that the sentinels name."""


class SentinelOneConnection(OneConnection, SentinelConnectionPool):
    """A pool of one connection to the master that the sentinels name."""


def _log_in_at_master(connection: Any) -> None:
    """Log in at the server that the sentinels named, and refuse it if it is a replica.

    The sentinels may name a former master that has come back empty as a replica. Its writes fail, but a read would find
    no verification. ``WAIT`` for no replicas is answered at once by a master, and with an error by a replica. It needs no
    right beyond those that the service has.

    Raises:
        RedisConnectionError: the server is a replica. The client then asks the sentinels for the master once more.
    """
    connection.on_connect()
    connection.send_command("WAIT", 0, 0)
    try:
        connection.read_response()
    except ResponseError as error:
        raise RedisConnectionError(f"The server that the sentinels name refuses WAIT - {error}") from error


class NoMasterFound(RedisError):
    """The sentinels named no master. If all of them failed, the first failure is the cause.

    It is no ConnectionError of redis-py, so a connection does not ask all sentinels a second time at once.
    """


class Sentinels(Sentinel):
    """The sentinels of a master.

    redis-py's own class gives up if one sentinel answers with an error, and reports failures by the reprs of its objects.
    """

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master, from the first sentinel that knows a working one.

        Raises:
            NoMasterFound
        """
        failures: list[RedisError] = []
        is_known = False
        asked, until = 0, monotonic() + SENTINELS_SECONDS
        for number, sentinel in enumerate(self.sentinels):
            if monotonic() >= until:
                # The next connection asks those first that were not asked.
                self.sentinels = self.sentinels[number:] + self.sentinels[:number]
                break
            asked += 1
            try:
                masters: Any = sentinel.sentinel_masters()
            except RedisError as error:
                failures.append(error)
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]  # redis-py types it in part
                # The next connection asks this one first.
                self.sentinels[0], self.sentinels[number] = sentinel, self.sentinels[0]
                return state["ip"], state["port"]
            is_known = is_known or bool(state)
        if is_known:
            raise NoMasterFound("The sentinels say that the master is down")
        if len(failures) < asked:
            raise NoMasterFound("No sentinel knows a master of the name in WAITCALL_REDIS_URL")
        raise NoMasterFound("No sentinel can be asked") from failures[0]


class OneServer(ABC):
    """Base of the topologies in which one server has all keys.

    Attributes:
        one_server: True, because a script can touch all keys together.
        address: where the servers are.
        any_node: options for a command that any server can answer; none are needed.
    """

    one_server = True
    address: Address
    any_node: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def client(self) -> Redis:
        """Make a client with one connection, which the first command opens."""

    def end(self, client: AnyClient) -> None:
        """Close the connection of a client. The client's next command opens it again."""
        client.close()

    def close(self) -> None:  # noqa: B027  not abstract: there is nothing to do here
        """Do nothing, because clients share no connection."""

    def route(self, _client: AnyClient, _key: str) -> Mapping[str, Any]:
        """Return the options that send a script in a pipeline to the server of its keys; none are needed."""
        return self.any_node

    def server_of(self, client: Any, _key: str) -> tuple[str, Redis]:
        """Return the name and the client of the server that has a key."""
        return "", client

    def subscriber(self, _client: AnyClient, _key: str) -> Redis:
        """Return a client for a subscription at the server that has a key."""
        return self.client()

    def one_each(self, _client: AnyClient, keys: Sequence[str]) -> Sequence[str]:
        """Return one of the keys for each server."""
        return keys[:1]

    def look_again(self, _client: AnyClient) -> None:  # noqa: B027  not abstract: there is nothing to do here
        """Do nothing, because a single server has no slots."""


class Standalone(OneServer):
    """A single server."""

    def __init__(self, address: Address) -> None:
        self.address = address
        access = {"username": address.username, "password": address.password}
        lost = {} if address.scheme == "unix" else _lost_connections()
        # What the URL names itself comes before these.
        self._make = partial(
            OneConnection.from_url, address.url, **_options(), **lost, **access, **_tls(address)
        )

    def client(self) -> Redis:
        """Make a client with one connection, which the first command opens."""
        return Redis.from_pool(self._make())


class BehindSentinel(OneServer):
    """The master that the sentinels name."""

    def __init__(self, address: Address) -> None:
        self.address = address
        timeout = min(TIMEOUT_SECONDS, SENTINELS_SECONDS / len(address.nodes))
        sentinel = Sentinels(  # type: ignore[no-untyped-call]  # redis-py types it in part
            list(address.nodes),
            sentinel_kwargs={
                **_options(timeout, retries=0),
                **_tls(address),
                "ssl": address.tls,
                "username": address.sentinel_username,
                "password": address.sentinel_password,
            },
            db=address.db,
            username=address.username,
            password=address.password,
            **_tls(address),
        )
        self._make = partial(
            sentinel.master_for,
            address.service,
            connection_pool_class=SentinelOneConnection,
            connection_class=SentinelTlsConnection if address.tls else SentinelConnection,
            redis_connect_func=_log_in_at_master,
            **_options(),
            **_lost_connections(),
        )

    def client(self) -> Redis:
        """Make a client with one connection, which the first command opens."""
        made: Redis = self._make()
        return made


class Cluster:
    """A cluster. All steps share one client, because it knows the slots and has its own pool for each node."""

    one_server = False
    any_node: Mapping[str, Any] = MappingProxyType({"target_nodes": RedisCluster.RANDOM})

    def __init__(self, address: Address, max_connections: int) -> None:
        """``max_connections``: steps that may use one node at the same time."""
        self.address = address
        self._make = partial(
            RedisCluster,
            startup_nodes=[ClusterNode(host, port) for host, port in address.nodes],
            username=address.username,
            password=address.password,
            # Ask only the nodes of the URL for the slots, no matter how many nodes the cluster has.
            dynamic_startup_nodes=False,
            # Some more connections are needed for subscriptions, and to ask for the slots.
            max_connections=max_connections + 8,
            **_options(CLUSTER_TIMEOUT_SECONDS)
            | _lost_connections()
            # The client's own retries come in addition to each node's.
            | {"retry": Retry(NoBackoff(), 1)}
            | {"ssl": address.tls}
            | _tls(address),
        )
        self._client: RedisCluster | None = None
        self._making = Lock()

    def client(self) -> RedisCluster:
        """Return the client. The first call makes it, which asks the cluster for its slots; others wait for that."""
        if self._client is None:
            if not self._making.acquire(timeout=TURN_SECONDS):
                raise RedisTimeoutError("Another thread is still connecting to the cluster.")
            try:
                if self._client is None:
                    self._client = self._make()
            finally:
                self._making.release()
        return self._client

    def end(self, _client: AnyClient) -> None:
        """Do nothing: other steps use the client too, and its own pools check connections before handing them out."""

    def close(self) -> None:
        """Close the connections of the client."""
        if self._client is not None:
            self._client.close()

    def route(self, client: Any, key: str) -> Mapping[str, Any]:
        """Return the options that name the node of a script's keys.

        Without them the pipeline asks a node for the keys of each script, which costs a round trip for each.
        """
        return {"target_nodes": client.get_node_from_key(key)}

    def server_of(self, client: Any, key: str) -> tuple[str, Redis]:
        """Return the name and the client of the node that has a key's slot."""
        node = client.get_node_from_key(key)
        return node.name, client.get_redis_connection(node)

    def subscriber(self, client: Any, key: str) -> Redis:
        """Return the client of the node that has a key's slot. Its pool has a spare connection for a subscription."""
        return self.server_of(client, key)[1]

    def one_each(self, client: Any, keys: Sequence[str]) -> Sequence[str]:
        """Return one of the keys for each node that has any of them."""
        return list({self.server_of(client, key)[0]: key for key in keys}.values())

    def look_again(self, client: Any) -> None:
        """Ask the cluster again which node has which slot."""
        client.nodes_manager.initialize()


Topology = Standalone | BehindSentinel | Cluster


def topology_of(address: Address, max_connections: int) -> Topology:
    """Return the topology of an address. It connects at the first use."""
    match address.scheme:
        case "redis+cluster":
            return Cluster(address, max_connections)
        case "redis+sentinel":
            return BehindSentinel(address)
        case _:
            return Standalone(address)


def _tls(address: Address) -> dict[str, Any]:
    files = {
        "ssl_ca_certs": address.ca,
        "ssl_certfile": address.cert,
        "ssl_keyfile": address.key,
        "ssl_password": address.key_password,
    }
    return {name: value for name, value in files.items() if value}


def _lost_connections() -> dict[str, Any]:
    """Return the options of TCP that end connections to a machine that is gone."""
    wanted = {
        "TCP_KEEPIDLE": LOST_SECONDS,
        "TCP_KEEPINTVL": 1,
        "TCP_KEEPCNT": LOST_SECONDS,
        "TCP_USER_TIMEOUT": LOST_SECONDS * 1000,
    }
    # Some systems lack some of them.
    known = {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
    return {"socket_keepalive_options": known}


def _options(timeout_seconds: float | None = None, retries: int = 1) -> dict[str, Any]:
    # If the server closed the connection (a restart, a fail-over), connect again at once, one time. Do not retry after a
    # timeout, because it has used up the time and the command may have run.
    return {
        "socket_timeout": timeout_seconds or TIMEOUT_SECONDS,
        "socket_connect_timeout": timeout_seconds or TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), retries, (RedisConnectionError,)),
        "protocol": 2,
    }
