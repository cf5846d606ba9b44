"""Test URLs of Redis with IPv6 addresses, names and several hosts, and sentinels that announce names."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from tests.redis_servers import Cluster, Sentinel, Server, binary
from tests.worlds import redis_connection, redis_world
from waitcall.domain.errors import StoreUnavailable

SIX = "::1"


def has_ipv6() -> bool:
    try:
        socket.create_server((SIX, 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.fixture(params=["valkey", "redis"], scope="module")
def six(request: pytest.FixtureRequest) -> Iterator[tuple[Sentinel, Cluster]]:
    """Servers that listen at an IPv6 address only."""
    if binary(request.param) is None:
        pytest.skip(f"{request.param}-server is not installed (apt install redis-server)")
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    made = Sentinel(request.param, host=SIX), Cluster(request.param, host=SIX, size=1)
    yield made
    for each in made:
        each.close()


@pytest.fixture(params=["valkey", "redis"], scope="module")
def named(request: pytest.FixtureRequest) -> Iterator[Sentinel]:
    """Sentinel that knows its master by name."""
    if binary(request.param) is None:
        pytest.skip(f"{request.param}-server is not installed (apt install redis-server)")
    made = Sentinel(request.param, known_as="localhost")
    yield made
    made.close()


@pytest.fixture
def silent() -> Iterator[list[int]]:
    """Ports of three hosts that accept connections and never answer."""
    with ExitStack() as stack:
        doors = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        yield [door.getsockname()[1] for door in doors]


@pytest.mark.parametrize("kind", ["server", "sentinel", "cluster"])
def test_servers_are_reached_by_ipv6(six: tuple[Sentinel, Cluster], kind: str) -> None:
    sentinel, cluster = six
    url = {"server": sentinel.master.url, "sentinel": sentinel.url, "cluster": cluster.url}[kind]
    assert "[::1]:" in url
    with redis_world(url) as world:
        world.probe.ping()


def test_a_sentinel_may_announce_names(named: Sentinel) -> None:
    """The server's certificate is checked against the host, so the name must arrive as it was told."""
    url = named.url.replace("127.0.0.1", "localhost")
    with redis_connection(url) as connection, connection.using("ping") as client:
        assert client.ping()
        assert client.connection_pool.connection.host == "localhost"


def test_a_server_is_reached_by_name(valkey: Server) -> None:
    with redis_world(f"redis://localhost:{valkey.port}/0") as world:
        world.probe.ping()


def test_one_sentinel_that_answers_is_enough(named: Sentinel, valkey: Server, silent: list[int]) -> None:
    """The others are a silent host, a port where nothing listens, an unknown name, and a server that is no sentinel."""
    others = f"127.0.0.1:{silent[0]},127.0.0.1:1,sentinel.invalid,{valkey.node}"
    with redis_world(f"redis+sentinel://{others}, {named.sentinel.node}/mymaster") as world:
        world.probe.ping()


def test_many_silent_sentinels_take_no_longer_than_one_silent_server(silent: list[int]) -> None:
    hosts = ",".join(f"127.0.0.1:{port}" for port in [*silent, *silent])
    with redis_world(f"redis+sentinel://{hosts}/mymaster") as world:
        began = monotonic()
        with pytest.raises(StoreUnavailable):
            world.probe.ping()
        assert monotonic() - began < 3
