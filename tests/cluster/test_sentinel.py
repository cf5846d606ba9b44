"""Test the service with a master, two replicas and three sentinels on a real cluster, while masters fail under load."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.cluster import valkeys
from tests.cluster.failures import endure, install
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
