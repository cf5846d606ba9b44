"""Test Redis over IPv6 in every topology, with servers that listen on IPv6 only."""

from collections.abc import Iterator

import pytest

from tests.redis_servers import SLOTS, ServerOnIpv6, free_port, wait_for
from tests.worlds import redis_world


@pytest.fixture(params=["redis", "redis+sentinel", "redis+cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    more: tuple[str, ...] = ()
    if request.param == "redis+cluster":
        more = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    servers = [ServerOnIpv6("valkey", *more).start()]
    address = servers[0].url
    if request.param == "redis+cluster":
        with servers[0].client() as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
            wait_for(lambda: client.set("ready", 1))
        address = f"redis+cluster://[::1]:{servers[0].port}"
    if request.param == "redis+sentinel":
        sentinel = ServerOnIpv6("valkey")
        path = sentinel.directory / "sentinel.conf"
        told = f"sentinel monitor mymaster ::1 {servers[0].port} 1"
        path.write_text(f"port {sentinel.port}\nbind ::1\n{told}\n")
        sentinel.command = [sentinel.command[0], str(path), "--sentinel"]
        servers.append(sentinel.start())
        address = f"redis+sentinel://[::1]:{sentinel.port}/mymaster/0"
    yield address
    for server in servers:
        server.close()


def test_a_url_with_an_ipv6_address_reaches_the_server(url: str) -> None:
    with redis_world(url) as world:
        world.probe.ping()
