"""Compare journeys of four requests with those of a hand-written service (handwritten.py), in alternating rounds."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.load import Ask, closed_loop
from benchmarks.subject import CONNECTIONS, Measured, Subject, cpu_seconds, workers_of
from development.ports import Ports, free_port
from development.stack import ROOT, Stack, answers

TOOLS = ROOT / ".tools" / "bench"
TWO_WORKERS = {"WAITCALL_WORKERS": "2"}
KINDS = {"gevent": ["-k", "gevent"], "gthread": ["-k", "gthread", "--threads", "8", "--keep-alive", "75"]}
"""gunicorn's options for each worker class of the hand-written service. Ours is compared with the better of them."""


@dataclass(frozen=True)
class Walker:
    """Service whose journeys are measured: its worker processes, and its port for each port of the subject."""

    pids: Sequence[int]
    ports: Mapping[int, int]

    def at(self, ask: Ask) -> Ask:
        """Return the request, addressed to this service."""
        return replace(ask, port=self.ports[ask.port])

    def walk(self, subject: Subject, journeys: int) -> tuple[float, float]:
        """Run journeys of create, read, callback and consume. Return the CPU time and the time of one, in ms."""
        before, began = cpu_seconds(self.pids), time.perf_counter()
        creates = [self.at(subject.create()) for _ in range(journeys)]
        made = [json.loads(body) for body in closed_loop(creates, CONNECTIONS).bodies]
        steps: tuple[Callable[[Any], Ask], ...] = (subject.read, subject.callback, subject.consume)
        for step in steps:
            closed_loop([self.at(step(each)) for each in made], CONNECTIONS)
        spent, seconds = cpu_seconds(self.pids) - before, time.perf_counter() - began
        return spent / journeys * 1000, seconds / journeys * 1000


def measure(rounds: int, journeys: int) -> dict[str, Any]:
    """Measure CPU and time of a journey (medians of the rounds), and our CPU ÷ that of the better hand-written one."""
    with Measured(Ports.free(), TWO_WORKERS) as stack:
        subject = Subject(stack)
        walkers = {"ours": itself(subject)} | {
            kind: _start(stack, kind, options) for kind, options in KINDS.items()
        }
        cpu, took = in_turns(subject, walkers, rounds, journeys)
    better = min(KINDS, key=lambda kind: statistics.median(cpu[kind]))
    ratios = [ours / theirs for ours, theirs in zip(cpu["ours"], cpu[better], strict=True)]
    return {
        "worker_class": better,
        "cpu_ms": {name: statistics.median(each) for name, each in cpu.items()},
        "ms": {name: statistics.median(each) for name, each in took.items()},
        "cpu_ratios": ratios,
        "cpu_ratio": statistics.median(ratios),
    }


def itself(subject: Subject) -> Walker:
    """Return the walker of the subject's own service."""
    ports = subject.ports
    return Walker(subject.pids, {ports.api: ports.api, ports.callback: ports.callback})


def in_turns(
    subject: Subject, walkers: Mapping[str, Walker], rounds: int, journeys: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Walk journeys in alternating rounds. Return the CPU time and the time of one in each round, in ms, by walker."""
    cpu: dict[str, list[float]] = {name: [] for name in walkers}
    took: dict[str, list[float]] = {name: [] for name in walkers}
    for round_ in range(rounds + 1):
        for name, walker in walkers.items():
            spent, time_ = walker.walk(subject, journeys)
            # The first round only warms up.
            if round_:
                cpu[name].append(spent)
                took[name].append(time_)
    return cpu, took


def _start(stack: Stack, kind: str, options: Sequence[str]) -> Walker:
    """Start the hand-written service next to ours, with the same Redis and the same provider."""
    if not TOOLS.exists():
        raise RuntimeError("The libraries of the hand-written service are not installed: make bench-tools")
    port, name = free_port(), f"handwritten-{kind}"
    metrics = stack.directory / f"{name}-metrics"
    metrics.mkdir()
    command = [
        *(str(Path(sys.executable).with_name("gunicorn")), "--workers", "2", "--bind", f"127.0.0.1:{port}"),
        # Import it from the path and not from the package, because the package patches with gevent.
        *("--pythonpath", f"{ROOT / 'benchmarks'},{TOOLS}", *options, "handwritten:app"),
    ]
    environ = stack.environ_of_service() | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    stack.processes.start(name, command, environ)
    stack.processes.wait_until(name, lambda: answers(f"http://127.0.0.1:{port}/healthz"))
    return Walker(workers_of(stack, name), {stack.ports.api: port, stack.ports.callback: port})
