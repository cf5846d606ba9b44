"""Test what fails, and what does not, while processes and pods of a release are killed or drained under journeys."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from tests.cluster import processes
from tests.cluster.arrivals import Arrivals
from tests.cluster.journeys import VALUES, Persistent, Visitor, prepare
from tests.cluster.releases import Release, all_ready, namespace, restarts
from tests.redis_servers import wait_for

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
SECONDS = 180
COUNTS = {"api": 3, "public": 3, "worker": 2}
JOURNEYS = 60
"""Journeys that begin before a kill, and after it."""
PROXY_SECONDS = 10
"""Time within which kube-proxy follows the Service on a loaded machine."""


@pytest.fixture(scope="module")
def release(cluster: ModuleType) -> Iterator[Release]:
    with namespace("kills"):
        made = Release(helm, "kills")
        prepare(made)
        made.install(VALUES)
        yield made


@pytest.fixture
def whole(release: Release) -> Release:
    """The release, once all its pods are ready again."""
    wait_for(lambda: complete(release), seconds=SECONDS)
    return release


def complete(release: Release) -> bool:
    return all(all_ready(release, component, count) for component, count in COUNTS.items())


def arrivals(release: Release, visitor: Visitor, change: Callable[[], None]) -> Arrivals:
    """Let journeys arrive before, during and after a change, until all pods are ready."""
    with Arrivals(visitor.journey) as load:
        wait_for(lambda: load.results.total() >= JOURNEYS, seconds=SECONDS)
        change()
        wait_for(lambda: complete(release), seconds=SECONDS)
        seen = load.started
        wait_for(lambda: load.started >= seen + JOURNEYS, seconds=SECONDS)
    assert load.results.total() == load.started, "each journey ends"
    return load


def test_a_worker_leads_again_when_the_leader_is_killed_and_no_journey_fails(whole: Release) -> None:
    """It is the other one, or the same pod with a new process, whichever asks first when the lease has ended."""

    def elected(pod: str, *words: str) -> int:
        return whole.kubectl("logs", pod, *words).count('"became leader"')

    names = [each["metadata"]["name"] for each in whole.pods("worker")]
    wait_for(lambda: any(map(elected, names)), seconds=SECONDS)
    before = {each: elected(each) for each in names}
    (leader,) = (each for each in whole.pods("worker") if before[each["metadata"]["name"]])
    same = leader["metadata"]["name"]
    (other,) = {*names} - {same}
    count = restarts([leader])

    def kill() -> None:
        processes.kill(processes.first(leader, "waitcall"))
        wait_for(lambda: restarts([whole.read("pod", same)]) == count + 1, seconds=SECONDS)
        wait_for(lambda: elected(other) > before[other] or elected(same) > 0, seconds=SECONDS)

    load = arrivals(whole, Visitor(whole), kill)
    assert load.results == {"consumed": load.started}
    (killed,) = (
        each for each in whole.pods("worker") if each["metadata"]["uid"] == leader["metadata"]["uid"]
    )
    assert restarts([killed]) == count + 1


def test_a_killed_child_of_gunicorn_cuts_only_creates_under_way(
    whole: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = whole.pods("api")[0]
    before = restarts(whole.pods())
    visitor = Persistent(whole)
    killed = []

    def kill() -> None:
        (child,) = processes.children(processes.first(victim, "waitcall"))
        processes.kill(child)
        killed.append(time.monotonic())

    load = arrivals(whole, visitor, kill)
    told(capsys, load, visitor)
    assert load.results["consumed"] + len(visitor.cut) == load.started
    assert all(begun <= killed[0] for begun in visitor.cut + visitor.repeated)
    assert restarts(whole.pods()) == before


def test_a_killed_master_of_gunicorn_fails_creates_only_until_its_pod_is_out_of_service(
    whole: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = whole.pods("api")[0]
    before = restarts(whole.pods())
    visitor = Persistent(whole)
    out = []

    def kill() -> None:
        processes.kill(processes.first(victim, "waitcall"))
        wait_for(lambda: not serves(whole, victim["metadata"]["name"]), seconds=SECONDS)
        out.append(time.monotonic())

    load = arrivals(whole, visitor, kill)
    told(capsys, load, visitor)
    assert load.results["consumed"] + len(visitor.cut) == load.started
    assert all(begun <= out[0] + PROXY_SECONDS for begun in visitor.cut + visitor.repeated)
    assert restarts(whole.pods()) == before + 1


def test_a_pod_deleted_by_force_fails_creates_only_until_it_is_out_of_service(
    whole: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = whole.pods("api")[0]["metadata"]["name"]
    visitor = Persistent(whole)
    out = []

    def delete() -> None:
        whole.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
        wait_for(lambda: not serves(whole, victim), seconds=SECONDS)
        out.append(time.monotonic())

    load = arrivals(whole, visitor, delete)
    told(capsys, load, visitor)
    assert load.results["consumed"] + len(visitor.cut) == load.started
    assert all(begun <= out[0] + PROXY_SECONDS for begun in visitor.cut + visitor.repeated)


def test_a_drain_of_all_pods_within_their_budget_fails_no_journey(whole: Release) -> None:
    before = {each["metadata"]["name"] for each in whole.pods()}

    def evicted(pod: str) -> bool:
        try:
            whole.evict(pod)
        except RuntimeError as refused:
            if "disruption budget" not in str(refused):
                raise
            return False
        return True

    def drain() -> None:
        for each in sorted(before):
            wait_for(lambda each=each: evicted(each), seconds=SECONDS)

    load = arrivals(whole, Visitor(whole), drain)
    assert load.results == {"consumed": load.started}
    assert not before & {each["metadata"]["name"] for each in whole.pods()}


def test_a_killed_redis_without_a_disk_never_verifies_and_restarts_nothing_else(
    whole: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything in it is lost. Journeys under way fail and say so, and later ones succeed.

    If it is away for long, no pod is ready, and the Service refuses connections.
    """
    before = restarts(whole.pods())
    visitor = Visitor(whole)
    (redis,) = whole.read("pods", "--selector=app=redis")["items"]
    silent = [visitor.create()[1]["id"] for _ in range(20)]
    seen = set()

    def watch() -> str:
        """Read verifications that nobody called for."""
        for each in silent:
            status, read = visitor.ask("GET", f"/v1/verifications/{each}")
            seen.add((status, read.get("status")))
        return "watched"

    def kill() -> None:
        processes.kill(processes.first(redis, "valkey-server"))
        wait_for(lambda: (404, 404) in seen, seconds=SECONDS)
        wait_for(lambda: [visitor.journey() for _ in range(20)] == ["consumed"] * 20, seconds=SECONDS)

    with Arrivals(watch, per_second=1) as watched:
        load = arrivals(whole, visitor, kill)
    told(capsys, load, visitor)
    refused = {each for each in watched.results + load.results if each.startswith("ConnectionRefusedError")}
    assert {*watched.results} - refused == {"watched"}
    assert seen <= {(200, "pending"), (503, 503), (404, 404)}
    failed = {result.partition(":")[0] for result in {*load.results} - refused} - {"consumed"}
    assert failed <= {"create 503", "call 503", "read 503", "read 404", "consume 503", "consume 404"}
    assert restarts(whole.pods()) == before


def serves(release: Release, pod: str) -> bool:
    """Return whether the Service of the API sends requests to a pod."""
    chosen = f"kubernetes.io/service-name={release.name}-waitcall-api"
    return any(
        each["targetRef"]["name"] == pod and each["conditions"]["ready"]
        for slices in release.read("endpointslices", "--selector", chosen)["items"]
        for each in slices["endpoints"] or ()
    )


def told(capsys: pytest.CaptureFixture[str], load: Arrivals, visitor: Visitor) -> None:
    cut, repeated = (len(visitor.cut), len(visitor.repeated)) if isinstance(visitor, Persistent) else (0, 0)
    others = (re.sub(r"'title'.*", "", each) for each in load.results.elements() if each != "consumed")
    figures = f"{load.started} journeys, {load.results['consumed']} consumed, {cut} creates cut, {repeated} other requests repeated: {dict(Counter(others))}"
    with capsys.disabled():
        print(f"\n{figures}")  # noqa: T201  figures
