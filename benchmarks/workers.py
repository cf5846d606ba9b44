"""Measure the floors under each kind of gunicorn's workers, for the choice in docs/adr/0021."""

import statistics
from contextlib import ExitStack
from typing import Any

from benchmarks.endpoints import FLOORS, asked
from benchmarks.load import closed_loop
from benchmarks.subject import CONNECTIONS, ONE_WORKER, Measured, Subject, cpu_seconds, start_floors
from development.ports import Ports

KINDS: dict[str, list[str]] = {
    "sync": ["--worker-class", "sync"],
    "gthread, 4 threads": ["--worker-class", "gthread", "--threads", "4"],
    "gthread, 64 threads": ["--worker-class", "gthread", "--threads", "64"],
    "gevent, gunicorn's": ["--worker-class", "gevent"],
    "gevent, ours": [],
}


def measure(rounds: int, requests: int) -> dict[str, Any]:
    """Measure throughput and CPU time of each floor under each kind of worker, with one worker process each."""
    with ExitStack() as stacks:
        stack = stacks.enter_context(Measured(Ports.free(), ONE_WORKER))
        subject = Subject(stack)
        started = {kind: start_floors(stack, kind, options) for kind, options in KINDS.items()}
        found: dict[str, dict[str, list[tuple[float, float]]]] = {
            kind: {name: [] for name in FLOORS} for kind in KINDS
        }
        for round_ in range(rounds + 1):
            for kind, (ports, pids) in started.items():
                for name in FLOORS:
                    prepared = asked(name, requests, subject, ports)
                    before = cpu_seconds(pids)
                    rate = closed_loop(prepared, CONNECTIONS).per_second
                    # The first round only warms up.
                    if round_:
                        cpu_ms = (cpu_seconds(pids) - before) / requests * 1000
                        found[kind][name].append((rate, cpu_ms))
    return {
        kind: {
            name: {
                "per_second": statistics.median(rate for rate, _ in each),
                "cpu_ms": statistics.median(cpu for _, cpu in each),
            }
            for name, each in floors.items()
        }
        for kind, floors in found.items()
    }
