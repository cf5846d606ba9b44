"""Fixtures only. The worlds that a store can live in are real servers, started once per run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from service.adapters.redis.connection import Connection, connector
from service.adapters.redis.idempotency import RedisIdempotencyStore
from service.adapters.redis.keys import Keys
from service.adapters.redis.limits import RedisLimits
from service.adapters.redis.store import RedisVerificationStore
from service.adapters.redis.watcher import Watcher
from service.application.ports import IdempotencyStore, Limits, VerificationStore
from service.redis_url import Address
from tests.fakes.clock import FakeClock
from tests.fakes.memory import MemoryIdempotency, MemoryLimits, MemoryStore
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.redis_servers import Cluster, Sentinel, Server, binary

PEPPER = "a-pepper-of-the-tests-that-is-long-enough"
REAL_WORLDS = ("valkey", "valkey-cluster", "redis", "redis-cluster")
# What differs behind Sentinel is how the master is found, so a part of the suite is enough there.
SENTINEL = "valkey-sentinel"
AnyServer = Server | Cluster | Sentinel
SHAPES = {"": lambda product: Server(product).start(), "cluster": Cluster, "sentinel": Sentinel}


@dataclass
class World:
    """One implementation of the store's three ports."""

    name: str
    store: VerificationStore
    limits: Limits
    idempotency: IdempotencyStore
    server: AnyServer | None = None
    url: str = ""

    def client(self) -> Any:
        assert self.server is not None
        return self.server.client()


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, AnyServer]]:
    running: dict[str, AnyServer] = {}
    yield running
    for server in running.values():
        server.close()


def running(servers: dict[str, AnyServer], name: str) -> AnyServer:
    """The server of a world, started at first use."""
    product, _, shape = name.partition("-")
    if binary(product) is None:
        pytest.skip(f"{product}-server is not installed (apt install redis-server)")
    if name not in servers:
        servers[name] = SHAPES[shape](product)
    return servers[name]


@pytest.fixture(params=REAL_WORLDS)
def real_world(request: pytest.FixtureRequest, servers: dict[str, AnyServer]) -> Iterator[World]:
    yield from open_world(running(servers, request.param), request.param)


@pytest.fixture(params=("memory", *REAL_WORLDS))
def world(request: pytest.FixtureRequest, servers: dict[str, AnyServer]) -> Iterator[World]:
    if request.param == "memory":
        yield World("memory", MemoryStore(), MemoryLimits(), MemoryIdempotency())
    else:
        yield from open_world(running(servers, request.param), request.param)


@pytest.fixture
def valkey(servers: dict[str, AnyServer]) -> AnyServer:
    return running(servers, "valkey")


def open_world(server: AnyServer, name: str) -> Iterator[World]:
    client: Any = server.client()
    client.flushall()
    connection = Connection(connector(Address.parse(server.url), 300), lambda _: None)
    keys = Keys(PEPPER)
    watcher = Watcher(connection, 200)
    yield World(
        name,
        RedisVerificationStore(connection, keys, watcher),
        RedisLimits(connection, keys),
        RedisIdempotencyStore(connection, keys),
        server,
        server.url,
    )
    watcher.close()
    connection.close()
    client.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()
