"""Measure the time from the death of a worker process to the first answer of its successor."""

import os
import signal
import statistics
import time
from typing import Any

from benchmarks.load import Ask, Connection
from benchmarks.subject import ONE_WORKER, Measured, resident_kb, workers_of
from development.ports import Ports


def measure(rounds: int) -> dict[str, Any]:
    """Kill the only worker in each round. Return the medians of the seconds until its successor answers, and its MB."""
    with Measured(Ports.free(), ONE_WORKER) as stack:
        seconds, resident = [], []
        for _ in range(rounds):
            (pid,) = workers_of(stack, "service")
            os.kill(pid, signal.SIGKILL)
            began = time.perf_counter()
            _answered(stack.ports.ops)
            seconds.append(time.perf_counter() - began)
            resident.append(resident_kb(workers_of(stack, "service")) / 1024)
    return {"worker_seconds": statistics.median(seconds), "worker_mb": statistics.median(resident)}


def _answered(port: int) -> None:
    while True:
        try:
            connection = Connection(port)
            connection.ask(Ask.of(port, "GET", "/readyz", 200))
        except (OSError, RuntimeError):
            time.sleep(0.005)
            continue
        connection.close()
        return
