"""Measure what thousands of long polls on one worker process cost, and how much reads slow down meanwhile."""

import statistics
from typing import Any

import gevent

from benchmarks.load import Ask, Connection, open_loop, percentile
from benchmarks.subject import ONE_WORKER, Measured, Subject, cpu_seconds, resident_kb
from development.ports import Ports

RATE = 100
SETTLING_SECONDS = 2.0
ARRIVING_PER_SECOND = 1000


def measure(rounds: int, polls: int, seconds: int) -> dict[str, Any]:
    """Measure p99 of reads, idle and with ``polls`` held, and the polls' memory and CPU. Return medians of the rounds."""
    # Each round has new processes, because a process does not give its memory back to the system.
    found = [_round(polls, seconds) for _ in range(rounds)]
    return {
        "polls": polls,
        **{name: statistics.median(each[name] for each in found) for name in found[0]},
        "rounds": found,
    }


def _round(polls: int, seconds: int) -> dict[str, float]:
    environ = ONE_WORKER | {"WAITCALL_MAX_WAITING": str(polls)}
    with Measured(Ports.free(), environ) as stack:
        subject = Subject(stack)
        made = subject.make(polls)
        reads = [subject.read(made[0])] * (RATE * seconds)
        open_loop(reads[:RATE], RATE)
        idle = open_loop(reads, RATE)
        before = resident_kb(subject.pids)
        held = []
        for each in made:
            held.append(gevent.spawn(_poll, subject.read(each, wait_seconds=30)))
            gevent.sleep(1 / ARRIVING_PER_SECOND)
        gevent.sleep(SETTLING_SECONDS)
        kept = resident_kb(subject.pids) - before
        cpu = cpu_seconds(subject.pids)
        gevent.sleep(SETTLING_SECONDS)
        cpu = (cpu_seconds(subject.pids) - cpu) / SETTLING_SECONDS
        loaded = open_loop(reads, RATE)
        if ended := [each for each in held if each.ready()]:
            raise RuntimeError(
                f"{len(ended)} polls were not held all the time: {ended[0].exception or ended[0].value}"
            )
        gevent.killall(held)
    idle_p99, loaded_p99 = percentile(idle.latencies, 0.99), percentile(loaded.latencies, 0.99)
    return {
        "kb_each": kept / polls,
        "cpu_share_while_nothing_happens": cpu,
        "read_p99_ms_idle": idle_p99,
        "read_p99_ms_with_polls": loaded_p99,
        "read_ratio": loaded_p99 / idle_p99,
    }


def _poll(ask: Ask) -> bytes:
    return Connection(ask.port).ask(ask)
