"""Worlds: one implementation of every port that stands on the store, in memory or over Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.memory import (
    MemoryAuditLog,
    MemoryConversionCounts,
    MemoryIdempotency,
    MemoryLimits,
    MemoryLists,
    MemoryOrders,
    MemoryProbe,
    MemoryStore,
)
from waitcall.adapters.redis.audit import RedisAuditLog
from waitcall.adapters.redis.change_notifier import RedisChangeNotifier
from waitcall.adapters.redis.connection import Connection, RedisProbe
from waitcall.adapters.redis.idempotency import RedisIdempotencyStore
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.limits import RedisConversionCounts, RedisLimits
from waitcall.adapters.redis.lists import RedisLists
from waitcall.adapters.redis.number_pool import RedisNumberPool
from waitcall.adapters.redis.orders import RedisOrders
from waitcall.adapters.redis.store import RedisDeadlines, RedisUsedCalls, RedisVerificationStore
from waitcall.adapters.redis.topology import topology_of
from waitcall.application.own_numbers import NumberPool
from waitcall.application.ports import (
    AuditLog,
    ChangeNotifier,
    ConversionCounts,
    Deadlines,
    IdempotencyStore,
    Limits,
    Lists,
    OrderIndex,
    StoreProbe,
    UsedCalls,
    VerificationStore,
)
from waitcall.configuration.redis_url import Address
from waitcall.domain.policy import Audit

PEPPER = "a-pepper-of-the-tests-that-is-long-enough"
OTHER_PEPPER = "another-pepper-that-is-long-enough-as-well"


@dataclass
class World:
    name: str
    store: VerificationStore
    changes: ChangeNotifier
    used_calls: UsedCalls
    deadlines: Deadlines
    probe: StoreProbe
    limits: Limits
    idempotency: IdempotencyStore
    conversions: ConversionCounts
    lists: Lists
    audit: AuditLog
    orders: OrderIndex
    numbers: NumberPool
    server: Any = None
    url: str = ""
    unreadable: list[str] = field(default_factory=list)
    """Places where an unreadable entry was found."""

    def client(self) -> Any:
        assert self.server is not None
        return self.server.client()


def memory_world(kind: type[MemoryStore] = MemoryStore) -> World:
    limits, conversions, lists, audit = (
        MemoryLimits(),
        MemoryConversionCounts(),
        MemoryLists(),
        MemoryAuditLog(),
    )
    store = kind(limits, conversions, lists, audit)
    return World(
        "memory",
        *(store, store, store.used_calls, store.deadlines, MemoryProbe()),
        *(limits, MemoryIdempotency(), conversions, lists, audit, MemoryOrders(), store.numbers),
    )


@contextmanager
def redis_connection(url: str) -> Iterator[Connection]:
    connection = Connection(topology_of(Address.parse(url), 20), lambda _: None)
    yield connection
    connection.close()


@contextmanager
def redis_world(
    url: str | Address,
    name: str = "redis",
    *,
    server: Any = None,
    peppers: tuple[str, ...] = (PEPPER,),
    audit: Audit | None = None,
    min_replicas: int = 0,
) -> Iterator[World]:
    unreadable: list[str] = []
    connection = Connection(
        topology_of(url if isinstance(url, Address) else Address.parse(url), 300),
        lambda _: None,
        count_unreadable=unreadable.append,
        min_replicas=min_replicas,
    )
    keys = Keys(*peppers)
    changes = RedisChangeNotifier(connection, keys, 200)
    deadlines = RedisDeadlines(connection, keys)
    limits, conversions = RedisLimits(connection, keys), RedisConversionCounts(connection, keys)
    lists, log = RedisLists(connection), RedisAuditLog(connection, keys, audit or Audit())
    store = RedisVerificationStore(
        connection,
        keys,
        limits=limits,
        conversions=conversions,
        lists=lists,
        audit=log,
    )
    yield World(
        name,
        store,
        changes,
        RedisUsedCalls(connection, keys),
        deadlines,
        RedisProbe(connection),
        limits,
        RedisIdempotencyStore(connection, keys),
        conversions,
        lists,
        log,
        RedisOrders(connection),
        RedisNumberPool(connection, keys),
        server,
        url,
        unreadable,
    )
    changes.close()
    connection.close()
