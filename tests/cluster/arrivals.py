"""Journeys that begin at fixed times, however long the others take, and the figures of their requests."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Self

from tests.cluster.journeys import Visitor
from tests.redis_servers import wait_for

PER_SECOND = 20
AROUND_SECONDS = 10
"""Time with load before a change and after it."""
THREADS = 400
PATIENCE_SECONDS = 400


class Arrivals:
    """Starts ``journey`` some times a second until the end of the ``with`` block, and counts the results."""

    def __init__(self, journey: Callable[[], str], per_second: float | None = None) -> None:
        self.started = 0
        self.results: Counter[str] = Counter()
        self._journey = journey
        self._pause = 1 / (per_second or PER_SECOND)
        self._counting = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for all journeys that were started."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        with ThreadPoolExecutor(THREADS) as pool:
            while not self._ended.wait(max(0.0, due - time.monotonic())):
                self.started += 1
                pool.submit(self._one)
                due += self._pause

    def _one(self) -> None:
        try:
            result = self._journey()
        except (OSError, HTTPException) as error:
            result = repr(error)
        with self._counting:
            self.results[result] += 1


@dataclass(frozen=True)
class Change:
    """A change under load: what became of the journeys, and the seconds of requests before, during and after it."""

    started: int
    results: Counter[str]
    seconds: float
    before: list[float]
    during: list[float]
    after: list[float]

    def table(self) -> str:
        """Return the figures as a table in Markdown."""
        lines = ["| | requests | p50 ms | p99 ms |", "|---|---|---|---|"]
        for name, times in (("before", self.before), ("during", self.during), ("after", self.after)):
            lines.append(
                f"| {name} | {len(times)} | {_percentile(times, 50):.0f} | {_percentile(times, 99):.0f} |"
            )
        ratio = _percentile(self.during, 99) / _percentile(self.before, 99)
        ended = ", ".join(f"{count} {result[:300]}" for result, count in self.results.most_common())
        return "\n".join(
            [
                f"{self.started} journeys started, {PER_SECOND} a second; ended: {ended}",
                f"the change took {self.seconds:.0f} s; p99 during ÷ before: {ratio:.1f}",
                *lines,
            ]
        )


def _percentile(seconds: list[float], percent: int) -> float:
    """Return a percentile in milliseconds."""
    return 1000 * statistics.quantiles(seconds, n=100)[percent - 1]


def under_load(visitor: Visitor, change: Callable[[], None]) -> Change:
    """Make a change while journeys of ``visitor`` arrive, which begin earlier and end later."""
    visitor.times.clear()
    around = AROUND_SECONDS * PER_SECOND
    with Arrivals(visitor.journey) as load:
        wait_for(lambda: load.started > around, seconds=PATIENCE_SECONDS)
        begun = time.monotonic()
        change()
        ended = time.monotonic()
        seen = load.started
        wait_for(lambda: load.started > seen + around, seconds=PATIENCE_SECONDS)
    before = [took for at, took in visitor.times if at < begun]
    during = [took for at, took in visitor.times if begun <= at < ended]
    after = [took for at, took in visitor.times if at >= ended]
    return Change(load.started, load.results, ended - begun, before, during, after)
