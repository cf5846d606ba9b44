"""Checks of the store itself: does it take writes, and how is its server configured?"""

from contextlib import suppress
from dataclasses import dataclass
from time import time

from redis.exceptions import RedisError

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.script import Script, ScriptRunner, Step

_KEPT_MS = 10_000
_KINDS = ("set", "stream", "hash")


@dataclass(frozen=True, slots=True)
class Examined:
    """Properties of one server.

    Attributes:
        version: version of the server; empty if our user may not ask.
        ahead_seconds: the server's clock minus ours, in seconds.
        eviction: the server's ``maxmemory-policy``; empty if our user may not ask.
    """

    version: str
    ahead_seconds: float
    eviction: str


class RedisProbe:
    """StoreProbe over Redis."""

    def __init__(self, connection: Connection, keys: Keys, min_replicas: int = 0) -> None:
        """``min_replicas``: number of replicas that must confirm a write."""
        self._connection = connection
        self._keys = keys
        self._runner = ScriptRunner(connection, min_replicas)
        self._ready = Script("ready")

    def ping(self) -> None:
        """Write by a script, as a create does; on a cluster, at each node.

        The exception's ``cause`` has the first words of the server's message.
        """
        topology = self._connection.topology
        with self._connection.using("ping") as client:
            keys = topology.one_each(client, self._keys.all_ready())
        for each in keys:
            step = Step(self._ready, [each, *(f"{each}:{kind}" for kind in _KINDS)], [_KEPT_MS])
            self._runner.run("ping", step, replicated=True)

    def examine(self) -> Examined:
        """Read the properties of the server; of a cluster, those of a random node.

        Raises:
            StoreUnavailable
        """
        with self._connection.using("examine") as client:
            where = self._connection.topology.any_node
            asked = time()
            seconds, microseconds = client.time(**where)
            ahead = seconds + microseconds / 1e6 - (asked + time()) / 2
            version = eviction = ""
            # The user of config/redis.conf may not run INFO and CONFIG.
            with suppress(RedisError):
                told = client.info("server", **where)
                version = str(told.get("valkey_version") or told.get("redis_version", ""))
            with suppress(RedisError):
                eviction = str(client.config_get("maxmemory-policy", **where).get("maxmemory-policy", ""))
        return Examined(version, ahead, eviction)
