"""Measure how reads and callbacks slow down while many creates wait for a provider that hangs.

No create completes meanwhile, so only the cost of waiting is measured. If the provider took 2 s instead, 1,000 waiting
creates would mean 500 completed ones a second, which is more than one worker process can do.
"""

import statistics
from typing import Any

import gevent

from benchmarks.load import Connection, open_loop, percentile
from benchmarks.subject import ONE_WORKER, Measured, Subject
from development.ports import Ports

RATE = 100
CREATES_PER_SECOND = 150
ENVIRON = ONE_WORKER | {"WAITCALL_SMSC_TIMEOUT_SECONDS": "25"}


def measure(rounds: int, creates: int, seconds: int) -> dict[str, Any]:
    """Measure p99 of reads and callbacks, idle and while the provider holds ``creates``. Return medians of the rounds."""
    # Each round has a new stack, because the held creates fail in the end and open the circuit breaker.
    found = [_round(creates, seconds) for _ in range(rounds)]
    p99 = {name: statistics.median(each[name] for each in found) for name in found[0]}
    ratios = {
        f"{name}_ratio": statistics.median(each[f"{name} held"] / each[f"{name} idle"] for each in found)
        for name in ("read", "callback")
    }
    return {"creates": creates, "p99_ms": p99, **ratios, "rounds": found}


def _round(creates: int, seconds: int) -> dict[str, float]:
    with Measured(Ports.free(), ENVIRON) as stack:
        subject = Subject(stack)
        made = subject.make(2 * RATE * seconds)
        calls = [subject.callback(each) for each in made]
        reads = [subject.read(subject.make(1)[0])] * (RATE * seconds)
        open_loop(reads[:RATE], RATE)
        found = {
            "read idle": open_loop(reads, RATE),
            "callback idle": open_loop(calls[: RATE * seconds], RATE),
        }
        _hold(subject, creates)
        found |= {
            "read held": open_loop(reads, RATE),
            "callback held": open_loop(calls[RATE * seconds :], RATE),
        }
        if sum(line.get("fault") == "hang" for line in subject.ledger()) != creates:
            raise RuntimeError("Not all creates were held.")
    return {name: percentile(load.latencies, 0.99) for name, load in found.items()}


def _hold(subject: Subject, creates: int) -> None:
    subject.provider({"kind": "hang"})
    for _ in range(creates):
        # The status does not matter, because the stack stops before the answer comes.
        gevent.spawn(_create, subject)
        gevent.sleep(1 / CREATES_PER_SECOND)
    gevent.sleep(1)


def _create(subject: Subject) -> None:
    try:
        Connection(subject.ports.api).ask(subject.create())
    except (RuntimeError, OSError):
        return
