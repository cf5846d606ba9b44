"""Targets of the measurements. ``make bench`` prints them with the results, and docs/performance.md shows them."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

Results = Mapping[str, Mapping[str, Any]]
FEWEST_ROUNDS = 5
"""Fewest rounds for which a middle half is shown."""


@dataclass(frozen=True)
class Target:
    """Row of the table of targets.

    Attributes:
        of: name of the measurement that it needs.
        at_least: True if ``bound`` is the least good value, False if it is the greatest.
        bare: value for requests without work (floors.Bare), if it was measured.
        rounds: value of each round, if the target's value is their median.
    """

    what: str
    of: str
    value: Callable[[Mapping[str, Any]], float]
    bound: float
    at_least: bool = False
    unit: str = ""
    bare: Callable[[Mapping[str, Any]], float] | None = None
    rounds: Callable[[Mapping[str, Any]], list[float]] | None = None

    def met(self, value: float) -> bool:
        """Return whether a value meets the target."""
        return value >= self.bound if self.at_least else value <= self.bound

    def middle(self, found: Mapping[str, Any]) -> str:
        """Return the range of the middle half of the rounds, or an empty text if there are too few rounds."""
        if self.rounds is None or len(each := self.rounds(found)) < FEWEST_ROUNDS:
            return ""
        low, _, high = statistics.quantiles(each, n=4)
        return f"{low:.2f} to {high:.2f}"


def rounds_of(name: str, floor: str) -> Callable[[Mapping[str, Any]], list[float]]:
    """Return a function that divides throughput by the floor's, round by round: a slow moment of the machine slows both."""

    def ratios(found: Mapping[str, Any]) -> list[float]:
        ours, floors = (found[each]["per_second_of_each_round"] for each in (name, floor))
        return [a / b for a, b in zip(ours, floors, strict=True)]

    return ratios


def _median(ratios: Callable[[Mapping[str, Any]], list[float]]) -> Callable[[Mapping[str, Any]], float]:
    return lambda found: statistics.median(ratios(found))


def _of_trees(trees: str, name: str, found: Mapping[str, Any]) -> float:
    return float(found[trees][name])


def _compared(what: str, name: str, floor: str, bound: float) -> "Target":
    ratios = rounds_of(name, floor)
    bare = _median(rounds_of(f"bare_{name}", floor))
    return Target(what, "endpoints", _median(ratios), bound, at_least=True, bare=bare, rounds=ratios)


def _growth(found: Mapping[str, Any]) -> float:
    """Return the worst endpoint's throughput at the most verifications ÷ at the fewest, as the median of the rounds."""
    first, last = (found["counts"][at]["per_second_of_each_round"] for at in (0, -1))
    ratios = {name: [b / a for a, b in zip(first[name], last[name], strict=True)] for name in first}
    return float(min(statistics.median(each) for each in ratios.values()))


def _of_two(found: Mapping[str, Any]) -> float:
    """Return the journeys a second of two processes ÷ of one, on one Redis server."""
    rates = {run["processes"]: run["journeys_per_second"] for run in reversed(found["runs"])}
    return float(rates[2] / rates[1])


TARGETS = (
    _compared("read, throughput ÷ f2", "read", "f2", 0.6),
    _compared("create, throughput ÷ f3", "create", "f3", 0.3),
    _compared("callback, throughput ÷ f3", "callback", "f3", 0.6),
    _compared("consume, throughput ÷ f3", "consume", "f3", 0.6),
    Target(
        "CPU of a journey ÷ CPU of the hand-written service",
        "against",
        _median(lambda found: list(found["cpu_ratios"])),
        0.9,
        rounds=lambda found: list(found["cpu_ratios"]),
    ),
    Target(
        "p99 of callback answered → poll answered",
        "journeys",
        _median(lambda found: list(found["told_p99_of_each_round"])),
        50,
        unit=" ms",
        rounds=lambda found: list(found["told_p99_of_each_round"]),
    ),
    Target(
        "long polls held by one worker process",
        "waiting",
        lambda found: float(found["polls"]),
        5000,
        at_least=True,
    ),
    Target("memory of a long poll", "waiting", lambda found: float(found["kb_each"]), 25, unit=" kB"),
    Target(
        "p99 of reads with these long polls ÷ idle",
        "waiting",
        lambda found: float(found["read_ratio"]),
        2.0,
    ),
    Target(
        "p99 of reads while creates wait for the provider ÷ idle",
        "isolation",
        lambda found: float(found["read_ratio"]),
        1.5,
    ),
    Target(
        "p99 of callbacks while creates wait for the provider ÷ idle",
        "isolation",
        lambda found: float(found["callback_ratio"]),
        1.5,
    ),
    *(
        Target(
            f"p99 of {what}s under a flood of worst-case bodies ÷ idle, {trees}",
            "flood",
            partial(_of_trees, trees, f"{what}_ratio"),
            3,
        )
        for trees in ("one tree", "two trees")
        for what in ("read", "callback")
    ),
    Target(
        "Redis memory of a live verification",
        "growth",
        lambda found: float(found["counts"][-1]["bytes_each"]),
        1024,
        unit=" B",
    ),
    Target(
        "throughput with most live verifications ÷ fewest, worst endpoint",
        "growth",
        _growth,
        0.95,
        at_least=True,
    ),
    Target(
        "journeys, 2 processes ÷ 1, sharing 2 cores with load, Redis and provider",
        "replicas",
        _of_two,
        1.7,
        at_least=True,
    ),
    Target(
        "worker dies → successor answers",
        "startup",
        lambda found: float(found["worker_seconds"]),
        1.0,
        unit=" s",
    ),
)


def judged(results: Results) -> Iterator[tuple[Target, float]]:
    """Yield each target whose measurement was made, with its value."""
    for target in TARGETS:
        if target.of in results:
            yield target, target.value(results[target.of])
