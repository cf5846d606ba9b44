"""Test the service with a Redis cluster of three masters and three replicas on a real cluster, while nodes fail under load."""

from collections.abc import Iterator
from contextlib import ExitStack
from types import ModuleType

import pytest

from development.cluster import node
from tests.cluster import valkeys
from tests.cluster.failures import SECONDS, endure, install
from tests.cluster.releases import Release, namespace

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
NAME = "redis-cluster"
URL = "redis+cluster://valkey-0.valkey,valkey-1.valkey,valkey-2.valkey"


@pytest.fixture(scope="module")
def release(cluster: ModuleType) -> Iterator[Release]:
    with valkeys.volumes(NAME, valkeys.NODES), namespace(NAME):
        made = Release(helm, NAME)
        valkeys.cluster(made)
        install(made, URL, [valkeys.PORT])
        yield made


def test_a_killed_master_loses_nothing_that_was_confirmed(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may return with its data before its replica takes its place, or after that as a replica."""
    old = valkeys.masters(release)[0]
    figures = endure(release, lambda: valkeys.kill(release, old), lambda: valkeys.whole(release))
    with capsys.disabled():
        role = "a master again" if old in valkeys.masters(release) else "a replica now"
        print(f"\nCluster, master killed, {role}: {figures}")  # noqa: T201  a figure


def test_a_master_whose_machine_vanishes_loses_nothing_and_returns_as_a_replica_with_another_address(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    old = valkeys.masters(release)[0]
    address = release.read("pod", old)["status"]["podIP"]

    def vanish() -> None:
        stack.enter_context(valkeys.silenced(release, old))
        # Without it no pod takes the place of the removed one.
        release.kubectl("delete", "statefulset", "valkey", "--cascade=orphan")
        valkeys.remove(release, old)
        node.wait_for("a new master", lambda: old not in valkeys.masters(release), SECONDS)
        valkeys.start_nodes(release)

    with ExitStack() as stack:
        figures = endure(release, vanish, lambda: valkeys.whole(release))
    assert old not in valkeys.masters(release)
    assert release.read("pod", old)["status"]["podIP"] != address
    with capsys.disabled():
        print(f"\nCluster, machine of a master gone: {figures}")  # noqa: T201  a figure


def test_a_rolling_restart_of_all_nodes_loses_nothing(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {each["metadata"]["uid"] for each in release.read("pods", "--selector=app=valkey")["items"]}

    def restart() -> None:
        release.kubectl("rollout", "restart", "statefulset/valkey")
        release.kubectl("rollout", "status", "statefulset/valkey", f"--timeout={SECONDS}s")

    figures = endure(release, restart, lambda: valkeys.whole(release))
    after = {each["metadata"]["uid"] for each in release.read("pods", "--selector=app=valkey")["items"]}
    assert len(after) == valkeys.NODES
    assert not after & before
    with capsys.disabled():
        print(f"\nCluster, rolling restart: {figures}")  # noqa: T201  a figure
