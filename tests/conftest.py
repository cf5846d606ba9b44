"""Fixtures only. The worlds that a store can live in are real servers, started once per run."""

import os
import site
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import threats
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.redis_servers import Cluster, Sentinel, Server, binary
from tests.steps import Steps
from tests.worlds import World, memory_world, redis_world

# Whatever takes the machine's own time zone for UTC is found on every machine.
os.environ["TZ"] = "Asia/Kathmandu"
time.tzset()

# What `make browser-tools`, `chart-tools` and `docs-tools` install; tests skip what is not there.
for _tools in ("browser", "chart", "docs"):
    site.addsitedir(str(Path(__file__).resolve().parent.parent / ".tools" / _tools))

# Two products, each alone and as a cluster. The everyday suite takes two of the four, which meet both products and both
# kinds of cluster-awareness; `make test-all` takes all.
EVERYDAY_WORLDS = ("memory", "valkey", "redis-cluster" if binary("redis") else "valkey-cluster")
REAL_WORLDS = [
    pytest.param(name, marks=() if name in EVERYDAY_WORLDS else pytest.mark.slow)
    for name in ("valkey", "valkey-cluster", "redis", "redis-cluster")
]
# What differs behind Sentinel is how the master is found, so a part of the suite is enough there.
SENTINEL = "valkey-sentinel"
AnyServer = Server | Cluster | Sentinel
SHAPES = {
    "": lambda product: Server(product).start(),
    # On a busy machine nodes may not hear of each other for seconds, and nobody tests here what happens then.
    "cluster": lambda product: Cluster(product, node_timeout_ms=30_000),
    "sentinel": Sentinel,
}
STEPS = Steps()
settings.register_profile("everyday", deadline=None)  # fewer examples: tests.making.examples


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, AnyServer]]:
    running: dict[str, AnyServer] = {}
    yield running
    for server in running.values():
        server.close()


def running(servers: dict[str, AnyServer], name: str) -> AnyServer:
    """Return the server of a world, started at first use."""
    product, _, shape = name.partition("-")
    if binary(product) is None:
        pytest.skip(f"{product}-server is not installed (apt install redis-server)")
    if name not in servers:
        with STEPS.shared():
            servers[name] = SHAPES[shape](product)
    return servers[name]


@pytest.fixture(params=REAL_WORLDS)
def real_world(request: pytest.FixtureRequest, servers: dict[str, AnyServer]) -> Iterator[World]:
    yield from open_world(running(servers, request.param), request.param)


@pytest.fixture(params=("memory", *REAL_WORLDS))
def world(request: pytest.FixtureRequest, servers: dict[str, AnyServer]) -> Iterator[World]:
    if request.param == "memory":
        yield memory_world()
    else:
        yield from open_world(running(servers, request.param), request.param)


@pytest.fixture
def valkey(servers: dict[str, AnyServer]) -> AnyServer:
    return running(servers, "valkey")


def open_world(server: AnyServer, name: str) -> Iterator[World]:
    server.flush()
    with redis_world(server.url, name, server=server) as world:
        yield world


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-attacks", action="store_true", help="write docs/attacks.md (make attack)")
    parser.addoption("--record-limits", action="store_true", help="write docs/limits.md (make limits-page)")
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots (make screenshots)")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(STEPS)
    # In a parallel run the controller sees every report.
    if threats.holds(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(threats.HeldToThePage())
