"""A failure of Redis under journeys: nothing that was confirmed is lost, and requests fail only as promised."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from development.cluster import node
from tests.cluster.journeys import SECRETS, VALUES, Load, Visitor
from tests.cluster.ledger import THREADS, Ledger, Settled
from tests.cluster.releases import Release, ready, restarts

SECONDS = 300
ENOUGH = 20
WOKEN_SECONDS = 10
"""Time within which a call ends a long poll, which waits for twice as long."""


def install(
    release: Release, url: str, ports: list[int], secrets: Mapping[str, str] | None = None, **values: Any
) -> None:
    """Install the chart for servers with replicas, of which one must confirm each promise.

    Args:
        release: the service.
        url: where Redis is.
        ports: ports of Redis that the network policy opens.
        secrets: further keys of the Secret.
        values: further values of the chart.
    """
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "waitcall", "namespace": release.namespace},
        "stringData": SECRETS | {"redis-url": url} | dict(secrets or {}),
    }
    node.apply(secret)
    common = VALUES | {
        "serve": VALUES["serve"] | {"replicas": 2, "resources": {"requests": {"cpu": "20m"}}},
        "worker": {"replicas": 1, "resources": {"requests": {"cpu": "20m"}}},
        "podDisruptionBudget": {"minAvailable": 1},
        "settings": VALUES["settings"] | {"redisMinReplicas": 1},
        "networkPolicy": VALUES["networkPolicy"] | {"redis": {"ports": ports}},
    }
    release.install(common | values)


def endure(release: Release, fail: Callable[[], None], whole: Callable[[], bool]) -> str:
    """Let journeys go on while Redis fails, and check every answer. Return the figures as a line.

    Args:
        release: the service.
        fail: makes the failure.
        whole: tells whether Redis is in order again, with other roles.
    """
    ledger = Ledger(Visitor(release))
    before = _restarts(release)
    with Load(ledger.journey, THREADS) as load:
        _go_on(load)
        ledger.forget_failures()
        began, began_at = time.monotonic(), datetime.now(UTC)
        fail()
        node.wait_for("Redis is in order again", whole, SECONDS)
        node.wait_for("pods are ready", lambda: all(map(ready, release.pods())), SECONDS)
        over = time.monotonic()
        _go_on(load)
    settled = ledger.settle()
    assert not ledger.wrong, (settled, ledger.wrong)
    # A request that began before the end may fail after it.
    late = [at - over for at in ledger.failed_at if at > over + WOKEN_SECONDS]
    assert not late, f"seconds after Redis was in order again: {late}"
    assert max(ledger.woken) < WOKEN_SECONDS, max(ledger.woken)
    silent = sum(each.silent for each in ledger.people)
    assert settled == Settled(settled.promised, silent=silent, consumed=settled.promised - silent), settled
    assert _restarts(release) == before, _restarts(release)
    return _figures(ledger, settled, began, _unready(release, began_at))


def _go_on(load: Load) -> None:
    wanted = load.results["consumed"] + ENOUGH
    node.wait_for("journeys", lambda: load.results["consumed"] >= wanted, SECONDS)


def _restarts(release: Release) -> dict[str, int]:
    return {each["metadata"]["name"]: restarts([each]) for each in release.pods()}


def _unready(release: Release, since: datetime) -> float:
    """Return after how many seconds the last pod that was unready became ready again; 0 if none was."""
    changed = [
        datetime.fromisoformat(condition["lastTransitionTime"])
        for pod in release.pods()
        for condition in pod["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    return max(0.0, (max(changed) - since).total_seconds())


def _figures(ledger: Ledger, settled: Settled, began: float, unready: float) -> str:
    last = max(ledger.failed_at, default=began) - began
    after = sorted(ledger.woken)
    return (
        f"{settled.promised} creates, {settled.consumed} consumed, {settled.lost + settled.forgotten} lost; "
        f"failed {dict(ledger.failed)}, the last {last:.1f} s after the failure; "
        f"pods ready again after {unready:.0f} s; "
        f"slowest answer {ledger.visitor.slowest:.1f} s; long polls answered after {after[len(after) // 2]:.2f} s, "
        f"at most {after[-1]:.1f} s"
    )
