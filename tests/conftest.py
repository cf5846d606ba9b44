"""Fixtures of the whole suite. A world is a set of stores, in memory or on a real server that is started once per run."""

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

# Code that takes local time for UTC must fail on every machine, so the tests run in a zone other than UTC.
os.environ["TZ"] = "Asia/Kathmandu"
time.tzset()

# Libraries that `make browser-tools`, `chart-tools` and `docs-tools` install. Tests that need a missing one are skipped.
for _tools in ("browser", "chart", "docs"):
    site.addsitedir(str(Path(__file__).resolve().parent.parent / ".tools" / _tools))

# Two products, each as a single server and as a cluster. The everyday suite runs two of the four, chosen so that both
# products and both shapes are covered. `make test-all` runs all four.
EVERYDAY_WORLDS = ("memory", "valkey", "redis-cluster" if binary("redis") else "valkey-cluster")
REAL_WORLDS = [
    pytest.param(name, marks=() if name in EVERYDAY_WORLDS else pytest.mark.slow)
    for name in ("valkey", "valkey-cluster", "redis", "redis-cluster")
]
# Sentinel only changes how the master is found, so only a part of the suite runs behind it.
SENTINEL = "valkey-sentinel"
AnyServer = Server | Cluster | Sentinel
SHAPES = {
    "": lambda product: Server(product).start(),
    # On a busy machine nodes may not hear of each other for seconds. These tests are not about failover, so wait longer.
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
    """Emptied: whichever test ran before wrote of the same numbers, calls and instants."""
    server = running(servers, "valkey")
    server.flush()
    return server


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
    parser.addoption("--cluster", action="store_true", help="run tests/cluster (make cluster-test)")
    parser.addoption("--record-attacks", action="store_true", help="write docs/attacks.md (make attack)")
    parser.addoption("--record-limits", action="store_true", help="write docs/limits.md (make limits-page)")
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots (make screenshots)")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(STEPS)
    # In a parallel run only the controller sees every report.
    if threats.holds(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(threats.HeldToThePage())
