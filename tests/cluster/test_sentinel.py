"""Test the service with a master, two replicas and three sentinels on a real cluster, while masters fail under load."""

from collections.abc import Iterator
from contextlib import ExitStack
from types import ModuleType

import pytest

from tests.cluster import valkeys
from tests.cluster.failures import endure, install
from tests.cluster.journeys import VALUES
from tests.cluster.releases import Release, namespace

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
URL = "redis+sentinel://sentinel-0.sentinel,sentinel-1.sentinel,sentinel-2.sentinel/mymaster/0"
PORTS = [valkeys.PORT, valkeys.SENTINEL_PORT]


@pytest.fixture(scope="module")
def release(cluster: ModuleType) -> Iterator[Release]:
    with namespace("sentinel"):
        made = Release(helm, "sentinel")
        valkeys.sentinels(made)
        install(made, URL, PORTS)
        yield made


def whole(release: Release, old: str) -> bool:
    """Tell whether another server is the master, the old one follows it, and each pod of the API waits for its messages."""
    new = valkeys.master(release)
    if not new or new == old:
        return False
    told = valkeys.cli(release, new, "INFO", "REPLICATION")
    in_step = "role:master" in told and told.count("state=online") == 2
    return in_step and valkeys.subscribers(release, new) == len(release.pods("api"))


def test_a_killed_master_loses_nothing_that_was_confirmed(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    old = valkeys.master(release)
    figures = endure(release, lambda: valkeys.kill(release, old), lambda: whole(release, old))
    with capsys.disabled():
        print(f"\nSentinel, master killed: {figures}")  # noqa: T201  a figure


def test_a_master_whose_machine_vanishes_loses_nothing_and_returns_with_another_address(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    """Long polls must not wait at the old address: nothing tells that it is gone."""
    old = valkeys.master(release)
    address = release.read("pod", old)["status"]["podIP"]
    with ExitStack() as stack:

        def vanish() -> None:
            stack.enter_context(valkeys.silenced(release, old))
            valkeys.remove(release, old)

        figures = endure(release, vanish, lambda: whole(release, old))
    assert release.read("pod", old)["status"]["podIP"] != address
    with capsys.disabled():
        print(f"\nSentinel, machine of the master gone: {figures}")  # noqa: T201  a figure


def test_a_fail_over_with_tls_and_users_loses_nothing(
    cluster: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service has the user of config/redis.conf, and the sentinels have a password of their own."""
    with namespace("sentinel-tls"):
        release = Release(helm, "sentinel-tls")
        valkeys.sentinels(release, valkeys.secure(release))
        keys = {"redisUsername": "redis-username", "redisPassword": "redis-password"}
        keys |= {"redisSentinelPassword": "sentinel-password"}
        secrets = {
            "redis-username": "waitcall",
            "redis-password": valkeys.PASSWORD,
            "sentinel-password": valkeys.SENTINELS_PASSWORD,
        }
        install(
            release,
            URL.replace("redis+", "rediss+"),
            PORTS,
            secrets,
            secret=VALUES["secret"] | {"keys": VALUES["secret"]["keys"] | keys},
            redisTls={"existingSecret": "redis-authority", "keys": {"cert": "", "key": ""}},
        )
        old = valkeys.master(release)
        figures = endure(release, lambda: valkeys.kill(release, old), lambda: whole(release, old))
    with capsys.disabled():
        print(f"\nSentinel with TLS, master killed: {figures}")  # noqa: T201  a figure
