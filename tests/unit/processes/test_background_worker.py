"""A worker's own view of its lease, and the sweeper of serving processes."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from waitcall.application.ports import Term
from waitcall.domain.errors import StoreUnavailable
from waitcall.processes import background_worker as worker
from waitcall.processes.background_worker import Lease, Sweeper

ROOT = Path(__file__).resolve().parents[3]
LINES = 60
"""Lines of the waiting main thread at which a worker is stopped."""


class FakeLeadership:
    def __init__(self) -> None:
        self.away = False
        self.resigned: list[Term] = []

    def take(self, holder: str) -> Term | None:
        if self.away:
            raise StoreUnavailable
        return Term(1, holder)

    def resign(self, term: Term) -> None:
        self.resigned.append(term)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(worker, "monotonic", clock)
    return clock


def test_a_lease_that_is_not_renewed_ends_by_itself(clock: Clock) -> None:
    lease = Lease(FakeLeadership(), 10)
    lease.renew()
    clock.now += 9.9
    assert lease.term() is not None
    clock.now += 0.1
    assert lease.term() is None


def test_a_lease_is_counted_from_before_the_request_for_it(clock: Clock) -> None:
    leadership = FakeLeadership()
    take = leadership.take

    def slow(holder: str) -> Term | None:
        clock.now += 4
        return take(holder)

    leadership.take = slow  # type: ignore[method-assign]  # a slow answer
    lease = Lease(leadership, 10)
    lease.renew()
    clock.now += 6
    assert lease.term() is None


def test_an_outage_neither_ends_nor_prolongs_a_lease(clock: Clock) -> None:
    leadership = FakeLeadership()
    lease = Lease(leadership, 10)
    lease.renew()
    leadership.away = True
    clock.now += 5
    with pytest.raises(StoreUnavailable):
        lease.renew()
    assert lease.term() is not None
    clock.now += 5
    assert lease.term() is None


def test_only_a_lease_that_is_held_is_resigned(clock: Clock) -> None:
    leadership = FakeLeadership()
    lease = Lease(leadership, 10)
    lease.resign()
    lease.renew()
    lease.resign()
    lease.resign()
    assert [term.fence for term in leadership.resigned] == [1]
    assert lease.term() is None


def test_a_sweeper_outlives_a_store_that_is_away_and_a_broken_record(monkeypatch) -> None:
    monkeypatch.setattr("waitcall.processes.background_worker.SWEEP_SECONDS", 0.001)
    failures = [StoreUnavailable(), ValueError("broken")]
    swept = threading.Event()

    def sweep() -> int:
        if failures:
            raise failures.pop(0)
        swept.set()
        return 0

    sweeper = Sweeper(sweep)
    sweeper.start()

    assert swept.wait(5)
    sweeper.stop()
    sweeper._thread.join(5)
    assert not sweeper._thread.is_alive()


def test_a_signal_stops_the_worker_whatever_its_main_thread_is_at() -> None:
    """A handler that takes a lock waits for ever if the thread that it interrupted holds the lock."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.processes.stopped_anywhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("stopped at ") == LINES
