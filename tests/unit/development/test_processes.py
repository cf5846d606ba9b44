"""Processes of the stack, and Ctrl-C at any moment."""

import gc
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from development.processes import Processes
from tests.redis_servers import wait_for


class Interrupted(Exception):
    """Raised by the handler of SIGALRM, as the stack's handler of SIGINT raises KeyboardInterrupt."""


@pytest.fixture
def _alarms_interrupt() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    # The garbage collector swallows exceptions that come within its callbacks, and Hypothesis has one.
    gc.disable()
    yield
    gc.enable()
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_alarms_interrupt")
def test_a_process_is_seen_to_end_after_any_interruption_of_a_look_at_it(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    process = processes.start("sleep", ["sleep", "600"])
    moments = random.Random(20261201)
    interruptions = 0
    for _ in range(2000):
        try:
            signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-6, 60e-6))
            for _ in range(10_000):
                processes.ended()
        except Interrupted:
            interruptions += 1
    assert interruptions == 2000

    process.kill()

    wait_for(lambda: processes.ended() == "sleep", 30)
    processes.stop()
