"""Compare each request with the floors (floors.py), in alternating rounds: throughput, CPU time, latency at a fixed rate."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.load import Ask, closed_loop, open_loop, percentile
from benchmarks.subject import (
    CONNECTIONS,
    ONE_WORKER,
    Measured,
    Subject,
    cpu_seconds,
    start_another,
    start_floors,
)
from development.ports import Ports

FLOORS = ("f1", "f2", "f3")
BARE = ("bare_read", "bare_create", "bare_callback", "bare_consume")
"""Our requests without their work (floors.Bare)."""
ENDPOINTS = ("read", "create", "callback", "consume")
ELSEWHERE = ("callback_elsewhere", "consume_elsewhere")
"""Requests for verifications whose earlier requests another process answered."""
RATE = 100
"""Requests a second while latencies are measured."""
AT_RATE = 40
BODY = json.dumps({"phone_number": "+79990000000", "purpose": "login"})


def asked(
    name: str, requests: int, subject: Subject, floors: Ports, another: Ports | None = None
) -> Sequence[Ask]:
    """Prepare the requests of one round, and make the verifications that they need.

    ``another`` process makes those verifications if one is given.
    """
    if name not in (*ENDPOINTS, *ELSEWHERE):
        return _of_a_floor(name, requests, subject, floors)
    match name:
        case "create":
            return [subject.create() for _ in range(requests)]
        case "read":
            return [subject.read(subject.make(1)[0])] * requests
    made = subject.make(requests, another.api if another else None)
    calls = [subject.callback(each) for each in made]
    if name.startswith("callback"):
        return calls
    if another:
        calls = [replace(call, port=another.callback) for call in calls]
    closed_loop(calls, CONNECTIONS)
    return [subject.consume(each) for each in made]


def _of_a_floor(name: str, requests: int, subject: Subject, floors: Ports) -> Sequence[Ask]:
    match name:
        case "f3":
            return [Ask.of(floors.api, "POST", "/f3", 201, BODY)] * requests
        case "bare_create":
            return [subject.create(floors.api, "/bare_create") for _ in range(requests)]
        case "bare_consume":
            return [Ask.of(floors.api, "POST", "/bare_consume", 200, BODY)] * requests
        case _:
            return [Ask.of(floors.api, "GET", f"/{name}", 200)] * requests


def measure(rounds: int, requests: int) -> dict[str, Any]:
    """Measure each floor and each endpoint: medians of the rounds, and latencies of all rounds together."""
    with Measured(Ports.free(), ONE_WORKER) as stack:
        floors, floor_pids = start_floors(stack)
        subject = Subject(stack)
        another = start_another(stack)
        names = (*FLOORS, *BARE, *ENDPOINTS, *ELSEWHERE)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        latencies: dict[str, list[float]] = {name: [] for name in names}
        for round_ in range(rounds + 1):
            for name in names:
                maker = another if name in ELSEWHERE else None
                prepared = asked(name, requests, subject, floors, maker)
                pids = subject.pids if name in (*ENDPOINTS, *ELSEWHERE) else floor_pids
                before = cpu_seconds(pids)
                load = closed_loop(prepared, CONNECTIONS)
                cpu_ms = (cpu_seconds(pids) - before) / requests * 1000
                # The first round only warms up.
                if round_:
                    found[name].append((load.per_second, cpu_ms))
                    prepared = asked(name, AT_RATE, subject, floors, maker)
                    latencies[name] += open_loop(prepared, RATE).latencies
    return {
        name: {
            "per_second": statistics.median(rate for rate, _ in found[name]),
            "per_second_of_each_round": [round(rate) for rate, _ in found[name]],
            "cpu_ms": statistics.median(cpu for _, cpu in found[name]),
            "latency_ms": {
                f"p{share * 100:g}": percentile(latencies[name], share) for share in (0.5, 0.95, 0.99)
            },
        }
        for name in names
    }
