"""Questions about the store itself: does it take writes, and how is it set up?"""

from contextlib import suppress
from dataclasses import dataclass
from time import time

from redis.exceptions import RedisError

from service.adapters.redis.connection import Connection
from service.adapters.redis.keys import Keys
from service.adapters.redis.script import Script, ScriptRunner, Step

_KEPT_MS = 10_000
_KINDS = ("set", "stream", "hash")


@dataclass(frozen=True, slots=True)
class Examined:
    """One server, as it told of itself.

    Attributes:
        version: of the server; empty where we may not ask.
        ahead_seconds: its clock minus ours.
        eviction: its ``maxmemory-policy``; empty where we may not ask.
    """

    version: str
    ahead_seconds: float
    eviction: str


class RedisProbe:
    """StoreProbe over Redis."""

    def __init__(self, connection: Connection, keys: Keys, min_replicas: int = 0) -> None:
        """``min_replicas``: that must have what is written."""
        self._connection = connection
        self._keys = keys
        self._runner = ScriptRunner(connection, min_replicas)
        self._ready = Script("ready")

    def ping(self) -> None:
        """Write as a create does: by a script, and on a cluster at each node. The error's ``cause`` has the server's words."""
        topology = self._connection.topology
        with self._connection.using("ping") as client:
            keys = topology.one_each(client, self._keys.all_ready())
        for each in keys:
            step = Step(self._ready, [each, *(f"{each}:{kind}" for kind in _KINDS)], [_KEPT_MS])
            self._runner.run("ping", step, replicated=True)

    def examine(self) -> Examined:
        """Ask one server, any of a cluster.

        Raises:
            StoreUnavailable
        """
        with self._connection.using("examine") as client:
            where = self._connection.topology.any_node
            asked = time()
            seconds, microseconds = client.time(**where)
            ahead = seconds + microseconds / 1e6 - (asked + time()) / 2
            version = eviction = ""
            # Our own user may not ask this (config/redis.conf).
            with suppress(RedisError):
                told = client.info("server", **where)
                version = str(told.get("valkey_version") or told.get("redis_version", ""))
            with suppress(RedisError):
                eviction = str(client.config_get("maxmemory-policy", **where).get("maxmemory-policy", ""))
        return Examined(version, ahead, eviction)
