"""Test that the chart's autoscaler follows the CPU of the pods on a real cluster, and that no request fails on the way."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.cluster.journeys import VALUES, Load, Visitor, prepare
from tests.cluster.metrics_server import metrics_server
from tests.cluster.releases import Release, namespace, ready
from tests.redis_servers import wait_for

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
SECONDS = 300
FEWEST, MOST = 2, 4
AUTOSCALED: dict[str, Any] = {
    "autoscaling": {
        "enabled": True,
        "minReplicas": FEWEST,
        "maxReplicas": MOST,
        "targetCPU": 60,
        "scaleDownSeconds": 15,
    },
    "resources": {"requests": {"cpu": "80m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
}


@pytest.fixture(scope="module")
def release(cluster: ModuleType) -> Iterator[Release]:
    with metrics_server(), namespace("autoscaling"):
        made = Release(helm, "autoscaling")
        prepare(made)
        others = {
            "public": {"replicas": 2},
            "worker": {"replicas": 1},
            "podDisruptionBudget": {"minAvailable": 1},
        }
        made.install(VALUES | {"api": AUTOSCALED} | others)
        yield made


def pods(release: Release) -> list[dict[str, Any]]:
    """Return all pods of the API, also those that end."""
    chosen = "--selector=app.kubernetes.io/component=api"
    found: list[dict[str, Any]] = release.read("pods", chosen)["items"]
    return found


def test_the_api_grows_under_load_and_shrinks_after_it_and_no_request_fails(release: Release) -> None:
    visitor = Visitor(release)
    # The first connections may come before the policies admit them.
    wait_for(lambda: visitor.journey() == "consumed", seconds=SECONDS)
    status, made = visitor.create()
    assert status == 201

    def poll() -> str:
        """Hold a request at one pod for a second, which takes hardly any CPU."""
        return str(visitor.ask("GET", f"/v1/verifications/{made['id']}?wait=1")[0])

    with Load(poll, threads=3) as waiting:
        with Load(visitor.journey, threads=3) as journeys:
            wait_for(lambda: sum(map(ready, pods(release))) == MOST, seconds=SECONDS)
            grown = journeys.results.total()
            wait_for(lambda: journeys.results.total() > grown + 100, seconds=SECONDS)
        wait_for(lambda: len(pods(release)) == FEWEST, seconds=SECONDS)
        seen = waiting.results.total()
        wait_for(lambda: waiting.results.total() > seen + 10, seconds=SECONDS)
    assert {*journeys.results} == {"consumed"}, journeys.results
    assert {*waiting.results} == {"200"}, waiting.results
    events = release.read("events", "--field-selector=involvedObject.kind=HorizontalPodAutoscaler")["items"]
    told = [each["message"] for each in events if each["reason"] == "SuccessfulRescale"]
    assert any("above target" in each for each in told), told
    assert any("below target" in each for each in told), told
