"""What ``waitcall doctor`` asks Redis."""

from contextlib import suppress
from dataclasses import dataclass
from time import time

from redis.exceptions import RedisError

from service.adapters.redis.connection import Connection


@dataclass(frozen=True, slots=True)
class Examined:
    """One server, as it told of itself.

    Attributes:
        version: of the server; empty where we may not ask.
        ahead_seconds: its clock against ours.
        eviction: its ``maxmemory-policy``; empty where we may not ask.
    """

    version: str
    ahead_seconds: float
    eviction: str


def examine(connection: Connection) -> Examined:
    """Ask one server, any of a cluster. StoreUnavailable."""
    with connection.using("examine") as client:
        where = connection.topology.any_node
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
