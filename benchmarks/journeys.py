"""Measure whole journeys: create, start a long poll, call, get the poll's answer, consume."""

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import gevent

from benchmarks.endpoints import BARE, asked
from benchmarks.load import Ask, Connection, at_rate, closed_loop, percentile
from benchmarks.subject import CONNECTIONS, ONE_WORKER, Measured, Subject, cpu_seconds, start_floors
from development.ports import Ports

AT_ONCE = 16
DIALLING_SECONDS = 0.1
"""Seconds between the create and the call, so that the poll is waiting when the call comes."""


class Journeys:
    """Runs journeys over kept connections. ``told_ms``: how long after the callback's answer each poll was answered."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._idle: dict[int, list[Connection]] = {}
        self.told_ms: list[float] = []

    def one(self) -> bytes:
        """Run one journey from create to consume. Return the body of the consume's answer."""
        made = json.loads(self._ask(self._subject.create()))
        poll = gevent.spawn(self._polled, made)
        gevent.sleep(DIALLING_SECONDS)
        self._ask(self._subject.callback(made))
        answered = time.perf_counter()
        status, at = poll.get()
        if status != "verified":
            raise RuntimeError(f"The poll said {status}.")
        self.told_ms.append(max(at - answered, 0) * 1000)
        return self._ask(self._subject.consume(made))

    @property
    def transferred(self) -> dict[int, int]:
        """Bytes that were sent to and received from each port, without those of TCP."""
        return {port: sum(each.transferred for each in idle) for port, idle in self._idle.items()}

    def _polled(self, made: Any) -> tuple[str, float]:
        body = self._ask(self._subject.read(made, wait_seconds=30))
        return json.loads(body)["status"], time.perf_counter()

    def _ask(self, ask: Ask) -> bytes:
        idle = self._idle.setdefault(ask.port, [])
        connection = idle.pop() if idle else Connection(ask.port)
        body = connection.ask(ask)
        idle.append(connection)
        return body


def measure(rounds: int, journeys: int) -> dict[str, Any]:
    """Measure the most journeys a second, and at half that rate the latencies and the service's CPU time."""
    with Measured(Ports.free(), ONE_WORKER) as stack:
        floors, floor_pids = start_floors(stack)
        subject = Subject(stack)
        most(subject, journeys)
        rates, cpu_ms = [], []
        floor_ms: dict[str, list[float]] = {name: [] for name in BARE}
        told: list[list[float]] = []
        whole: list[list[float]] = []
        for _ in range(rounds):
            rates.append(most(subject, journeys))
            walked = Journeys(subject)
            before = cpu_seconds(subject.pids)
            load = at_rate([walked.one] * journeys, rates[-1] / 2)
            cpu_ms.append((cpu_seconds(subject.pids) - before) / journeys * 1000)
            for name, spent in floor_ms.items():
                prepared = asked(name, journeys, subject, floors)
                before = cpu_seconds(floor_pids)
                closed_loop(prepared, CONNECTIONS)
                spent.append((cpu_seconds(floor_pids) - before) / journeys * 1000)
            told.append(walked.told_ms)
            whole.append([each - DIALLING_SECONDS * 1000 for each in load.latencies])
    bare = [statistics.median(spent) for spent in floor_ms.values()]
    return {
        "most_per_second": statistics.median(rates),
        "half_per_second": statistics.median(rates) / 2,
        "cpu_ms": statistics.median(cpu_ms),
        "cpu_ms_of_a_bare_one": sum(bare),
        "told_ms": _medians(told),
        "told_p99_of_each_round": [percentile(each, 0.99) for each in told],
        "whole_ms": _medians(whole),
    }


def _medians(rounds: Sequence[list[float]]) -> dict[str, float]:
    """Return the medians of the rounds' percentiles."""
    return {
        f"p{share * 100:g}": statistics.median(percentile(each, share) for each in rounds)
        for share in (0.5, 0.95, 0.99)
    }


def most(subject: Subject, journeys: int) -> float:
    """Run journeys, many at once. Return how many were completed a second."""
    walked = Journeys(subject)
    turn = iter(range(journeys))
    began = time.perf_counter()

    def walk() -> None:
        for _ in turn:
            walked.one()

    # A journey mostly waits for the call, which costs no CPU, so many run at once.
    gevent.joinall([gevent.spawn(walk) for _ in range(AT_ONCE * 4)], raise_error=True)
    return journeys / (time.perf_counter() - began)
