"""A provider that hangs, with very many creates under way: do reads and callbacks notice?

Nothing completes while it hangs, so what is measured is the waiting itself; a provider that takes 2 s with 1,000 under
way would complete 500 creates a second, more than one worker process can do.
"""

from typing import Any

import gevent

from benchmarks.load import Connection, open_loop, percentile
from benchmarks.subject import ONE_WORKER, Subject
from development.stack import Ports, Stack

RATE = 100
CREATES_PER_SECOND = 150
ENVIRON = ONE_WORKER | {"WAITCALL_SMSC_TIMEOUT_SECONDS": "25"}


def measure(rounds: int, creates: int, seconds: int) -> dict[str, Any]:
    """p99 of reads and callbacks, idle and while ``creates`` are held by the provider, in turns."""
    found: dict[str, list[float]] = {
        f"{name} {phase}": [] for phase in ("idle", "held") for name in ("read", "callback")
    }
    for _ in range(rounds):
        # A stack of its own for each: what was held ends in failures, and those open the breaker.
        with Stack(Ports.free(), ENVIRON) as stack:
            subject = Subject(stack)
            made = subject.make(2 * RATE * seconds)
            calls = [subject.callback(each) for each in made]
            reads = [subject.read(subject.make(1)[0])] * (RATE * seconds)
            open_loop(reads[:RATE], RATE)
            found["read idle"] += open_loop(reads, RATE).latencies
            found["callback idle"] += open_loop(calls[: RATE * seconds], RATE).latencies
            _hold(subject, creates)
            found["read held"] += open_loop(reads, RATE).latencies
            found["callback held"] += open_loop(calls[RATE * seconds :], RATE).latencies
            if sum(line.get("fault") == "hang" for line in subject.ledger()) != creates:
                raise RuntimeError("Not all creates were held.")
    p99 = {name: percentile(latencies, 0.99) for name, latencies in found.items()}
    ratios = {f"{name}_ratio": p99[f"{name} held"] / p99[f"{name} idle"] for name in ("read", "callback")}
    return {"creates": creates, "p99_ms": p99} | ratios


def _hold(subject: Subject, creates: int) -> None:
    subject.provider({"kind": "hang"})
    for _ in range(creates):
        # The status does not matter: the stack ends before it comes.
        gevent.spawn(_create, subject)
        gevent.sleep(1 / CREATES_PER_SECOND)
    gevent.sleep(1)


def _create(subject: Subject) -> None:
    try:
        Connection(subject.ports.api).ask(subject.create())
    except (RuntimeError, OSError):
        return
