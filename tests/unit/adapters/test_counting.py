"""In fewer steps the same is counted as by the library."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from service.adapters.telemetry.counting import counting, observing

BOUNDS = (0.1, 1.0, 10.0)
AMOUNTS = [0.0, 0.05, 0.1, 0.10001, 1.0, 5, 10.0, 10.1, 1e9, float("inf")]


@pytest.mark.parametrize("labels", [(), ("route",)])
def test_the_exposition_is_the_librarys(labels: tuple[str, ...]) -> None:
    shown = []
    for quick in (False, True):
        registry = CollectorRegistry()
        counter = Counter("asked", "Asked.", labels, registry=registry)
        histogram = Histogram("took", "Took.", labels, registry=registry, buckets=BOUNDS)
        values = ("/v1",) * len(labels)
        counted = counter.labels(*values) if labels else counter
        observed = histogram.labels(*values) if labels else histogram
        if quick:
            counted, observed = counting(counted), observing(observed)
        for amount in AMOUNTS:
            counted.inc()
            observed.observe(amount)
        lines = generate_latest(registry).decode().splitlines()
        shown.append([line for line in lines if "_created" not in line])

    assert shown[0] == shown[1]
    named = '{route="/v1"}' if labels else ""
    assert f"asked_total{named} {len(AMOUNTS)}.0" in shown[1]
