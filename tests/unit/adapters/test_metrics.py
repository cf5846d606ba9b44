"""Counters and histograms are prometheus-client's own and behave as its documentation says."""

import pytest
from prometheus_client import generate_latest
from waitcall.adapters.telemetry.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3", ["web"], ["login"])


def shown(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def test_a_counter_counts_by_more_than_one(metrics: Metrics) -> None:
    counter = metrics._counter("asked", "Asked", ("route",))
    counter("/v1").inc()
    counter("/v1").inc(2)
    counter("/v1").inc(amount=0.5)
    assert 'waitcall_asked_total{route="/v1"} 3.5' in shown(metrics)


def test_a_counter_never_goes_back(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="non-negative"):
        metrics._counter("asked", "Asked", ("route",))("/v1").inc(-1)


@pytest.mark.parametrize("values", [(), ("/v1",)])
def test_a_histogram_takes_each_amount_into_its_buckets(metrics: Metrics, values: tuple[str, ...]) -> None:
    histogram = metrics._histogram("took", "Took", ("route",)[: len(values)], (0.1, 1.0))
    for amount in (0.1, 0.5, 5):
        histogram(*values).observe(amount)

    lines = [line for line in shown(metrics) if line.startswith("waitcall_took_bucket")]
    assert [line.rpartition(" ")[2] for line in lines] == ["1.0", "2.0", "3.0"]


def test_label_values_are_looked_up_once(metrics: Metrics) -> None:
    counter = metrics._counter("asked", "Asked", ("route",))
    assert counter("/v1") is counter("/v1")
