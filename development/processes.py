"""Child processes that end with us, however we end."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 20
_PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """Says what did not start, and the end of what it wrote."""


class Processes:
    """Started in order, stopped in reverse."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start one; its output goes to ``NAME.log``."""
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=dict(environ) if environ is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own session: Ctrl-C reaches us alone, and we end things in order.
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509  no threads yet when children start
            )
        self._running.append((name, process))
        return process

    def pid(self, name: str) -> int:
        """Of a running process."""
        return dict(self._running)[name].pid

    def wait_until(self, name: str, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for a process to be ready.

        Raises:
            StartFailed: it ended, or took too long.
        """
        process = dict(self._running)[name]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            if ready():
                return
            time.sleep(0.05)
        raise StartFailed(f"{name} did not start:\n{self.output(name)[-2000:]}")

    def output(self, name: str) -> str:
        """What a process has written."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def ended(self) -> str | None:
        """The name of a process that ended by itself."""
        return next((name for name, process in self._running if process.poll() is not None), None)

    def stop(self) -> None:
        """End all: politely, then not."""
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._running.clear()


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends."""
    # Where the launcher is killed outright, the kernel ends its children (Linux; prctl(2)).
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
