"""Test several replicas of each Deployment on a real cluster, while pods come and go."""

import hashlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.cluster.journeys import KEY, SECRETS, VALUES, Load, Visitor, prepare
from tests.cluster.releases import Release, all_ready, namespace, ready, restarts
from tests.cluster.rotation import rotate
from tests.redis_servers import wait_for

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
SECONDS = 180
OTHER_KEY = "wck_another-key-of-these-tests-that-is-long-0123"


@pytest.fixture(scope="module")
def release(cluster: ModuleType) -> Iterator[Release]:
    with namespace("replicas"):
        made = Release(helm, "replicas")
        prepare(made)
        made.install(VALUES)
        yield made


def merged(*more: dict[str, Any]) -> dict[str, Any]:
    values = dict(VALUES)
    for each in more:
        values |= each
    return values


def test_a_journey_from_outside_goes_through_both_services(release: Release) -> None:
    assert {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in release.pods()} == {
        *("api", "public", "worker")
    }
    assert len(release.pods()) == 8
    assert [Visitor(release).journey() for _ in range(20)] == ["consumed"] * 20


def test_an_evicted_pod_fails_no_read(release: Release) -> None:
    visitor = Visitor(release)
    status, made = visitor.create()
    assert status == 201
    path = f"/v1/verifications/{made['id']}"
    before = {each["metadata"]["name"] for each in release.pods("api")}
    victim = min(before)
    with Load(lambda: str(visitor.ask("GET", path)[0]), threads=4) as load:
        wait_for(lambda: load.results.total() > 50, seconds=SECONDS)
        release.evict(victim)
        release.kubectl("wait", "--for=delete", f"pod/{victim}", f"--timeout={SECONDS}s")
        wait_for(lambda: all_ready(release, "api", 3), seconds=SECONDS)
        seen = load.results.total()
        wait_for(lambda: load.results.total() > seen + 50, seconds=SECONDS)
    assert {*load.results} == {"200"}, load.results
    assert {each["metadata"]["name"] for each in release.pods("api")} - before


def test_an_upgrade_loses_no_journey(release: Release) -> None:
    visitor = Visitor(release)
    before = {each["metadata"]["name"] for each in release.pods()}
    with Load(visitor.journey, threads=4) as load:
        wait_for(lambda: load.results.total() > 20, seconds=SECONDS)
        annotated = VALUES["serve"] | {"podAnnotations": {"turn": "2"}}
        release.upgrade(merged({"serve": annotated, "worker": {"podAnnotations": {"turn": "2"}}}))
        seen = load.results.total()
        wait_for(lambda: load.results.total() > seen + 20, seconds=SECONDS)
    assert {*load.results} == {"consumed"}, load.results
    assert not before & {each["metadata"]["name"] for each in release.pods()}


def test_autoscaling_takes_the_number_of_pods_over(release: Release) -> None:
    """Without a number in the manifest Kubernetes would scale to 1. Without metrics the autoscaler leaves the three."""

    def current() -> list[str]:
        """Return the ReplicaSets that have pods."""
        sets = release.read("replicasets")["items"]
        return [each["metadata"]["name"] for each in sets if each["spec"]["replicas"]]

    def scaled_down() -> set[str]:
        """Return events of these ReplicaSets. Those of earlier upgrades may still be written."""
        events = release.read("events", "--field-selector=reason=ScalingReplicaSet")["items"]
        told = [each for each in events if "Scaled down" in each["message"]]
        names = current()
        return {each["metadata"]["uid"] for each in told if any(name in each["message"] for name in names)}

    release.upgrade(VALUES)
    wait_for(lambda: len(current()) == len({"api", "public", "worker"}), seconds=SECONDS)
    before = scaled_down()
    autoscaling = {"enabled": True, "minReplicas": 2, "maxReplicas": 4}
    release.upgrade(merged({"autoscaling": autoscaling, "podDisruptionBudget": {"minAvailable": 1}}))
    assert scaled_down() == before
    for component in ("api", "public"):
        assert all_ready(release, component, 3)
    release.upgrade(VALUES)


def test_new_keys_arrive_by_the_secret_and_a_signal(release: Release) -> None:
    visitor = Visitor(release)
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in (KEY, OTHER_KEY)]

    def answers(key: str, status: int) -> bool:
        return {visitor.create(key=key)[0] for _ in range(30)} == {status}

    assert answers(OTHER_KEY, 401)
    rotate(release, ("api",), api_keys=f"web={hashes[0]},web={hashes[1]}")
    assert answers(OTHER_KEY, 201)
    assert answers(KEY, 201)
    rotate(release, ("api",), api_keys=f"web={hashes[1]}")
    assert answers(KEY, 401)
    assert answers(OTHER_KEY, 201)
    rotate(release, ("api",), api_keys=SECRETS["api-keys"])
    assert answers(KEY, 201)
    assert restarts(release.pods("api")) == 0


def test_a_lost_redis_takes_the_pods_out_of_service_and_restarts_none(release: Release) -> None:
    def endpoints() -> int:
        found = release.read("endpointslices", "--selector=kubernetes.io/service-name=replicas-waitcall-api")
        return sum(
            each["conditions"]["ready"] for slices in found["items"] for each in slices["endpoints"] or ()
        )

    before = {each["metadata"]["name"]: restarts([each]) for each in release.pods()}
    release.kubectl("scale", "statefulset/redis", "--replicas=0")
    wait_for(lambda: endpoints() == 0, seconds=SECONDS)
    release.kubectl("scale", "statefulset/redis", "--replicas=1")
    wait_for(lambda: endpoints() == 3, seconds=SECONDS)
    wait_for(lambda: all(ready(each) for each in release.pods()), seconds=SECONDS)
    assert {each["metadata"]["name"]: restarts([each]) for each in release.pods()} == before
    assert Visitor(release).journey() == "consumed"
