"""Compare journeys on this Python with journeys on the Python of the image, in alternating rounds."""

import platform
import statistics
from typing import Any

from benchmarks.against import TWO_WORKERS, Walker, in_turns, itself
from benchmarks.subject import Measured, Subject, start_another, workers_of
from development import newest_python
from development.ports import Ports


def measure(rounds: int, journeys: int) -> dict[str, Any]:
    """Measure CPU and time of a journey on each Python (medians of the rounds), and the newest's CPU ÷ this one's."""
    if reason := newest_python.missing():
        return {"skipped": f"Not measured: {reason}."}
    newest_python.install()
    oldest, newest = platform.python_version(), newest_python.version()
    with Measured(Ports.free(), TWO_WORKERS) as stack:
        subject = Subject(stack)
        ports = start_another(stack, "newest", newest_python.command)
        addresses = {stack.ports.api: ports.api, stack.ports.callback: ports.callback}
        walkers = {oldest: itself(subject), newest: Walker(workers_of(stack, "newest"), addresses)}
        cpu, took = in_turns(subject, walkers, rounds, journeys)
    return {
        "cpu_ms": {name: statistics.median(each) for name, each in cpu.items()},
        "ms": {name: statistics.median(each) for name, each in took.items()},
        "cpu_ratio": statistics.median(b / a for a, b in zip(cpu[oldest], cpu[newest], strict=True)),
    }
