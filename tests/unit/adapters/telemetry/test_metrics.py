"""Counters and histograms are prometheus-client's own and behave as its documentation says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from waitcall.adapters.telemetry.metrics import Metrics

# Run in a process of its own, because prometheus-client reads the directory's name when it is imported.
COUNTED = """
import sys
from datetime import UTC, datetime
from waitcall.adapters.telemetry.metrics import Metrics, exposition
from waitcall.adapters.telemetry.observer import LoggingObserver
from waitcall.domain.conversion import ConversionBudget, Conversion, Group
from waitcall.domain.limits import Decision, Mode
met = Conversion(ConversionBudget(Group.COUNTRY, Mode.ENFORCE), 100, 1, True, 60)
at = datetime.fromtimestamp(int(sys.argv[2]), UTC)
LoggingObserver(Metrics("1.2.3", ["web"], ["login"])).guarded(met, "RU", Decision.DENY, at)
print(exposition(None, sys.argv[1]).decode())
"""


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


def test_a_gauge_is_one_series_whichever_process_set_it(tmp_path: Path) -> None:
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for at in ("200", "100"):
        ran = subprocess.run(
            [sys.executable, "-c", COUNTED, str(tmp_path), at],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
    lines = ran.stdout.splitlines()
    exceeded = "waitcall_conversion_guard_exceeded_timestamp_seconds"
    assert f'{exceeded}{{group="country",region="RU"}} 200.0' in lines
    assert 'waitcall_build_info{version="1.2.3"} 1.0' in lines
    assert not [line for line in lines if "pid=" in line]
