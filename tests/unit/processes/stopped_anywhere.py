"""Stop a background worker by SIGTERM at each of the first lines that its main thread executes while it waits.

It is a program of its own, so that a worker that never stops does not hang the tests.
"""

import faulthandler
import logging
import signal
import sys
import threading
from types import FrameType
from typing import Any
from unittest.mock import patch

from tests.unit.processes.test_background_worker import LINES, FakeLeadership
from waitcall.processes import background_worker
from waitcall.processes.background_worker import BackgroundWorker

WATCHED = {background_worker.__file__, threading.__file__}


class Stopper(logging.Handler):
    """Send the signal at a line, counted from the log line that says that the worker has started."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.left = line
        self.started = False

    def emit(self, record: logging.LogRecord) -> None:
        self.started = self.started or record.getMessage() == "worker started"

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line" and self.started:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGTERM)
        return self.trace


def main() -> None:
    """Stop as many workers as there are lines. The exit status is 1 if one does not stop."""
    log = logging.getLogger(background_worker.__name__)
    log.setLevel(logging.INFO)
    for line in range(1, LINES + 1):
        worker = BackgroundWorker(
            leadership=FakeLeadership(), lease_seconds=10, duties=[], loops=[], close=lambda: None
        )
        log.handlers = [stopper := Stopper(line)]
        faulthandler.dump_traceback_later(20, exit=True)
        # The lines matter, not the time between them.
        with patch.object(background_worker, "sleep", lambda _: None):
            sys.settrace(stopper.trace)
            worker.run()
            sys.settrace(None)
        faulthandler.cancel_dump_traceback_later()
        sys.stdout.write(f"stopped at {line}\n")


if __name__ == "__main__":
    main()
