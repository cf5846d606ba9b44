"""Child processes that end when this process ends, even if it is killed."""

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

signals: list[int] = []
"""Signals that ``note_signals`` has noted."""


class StartFailed(Exception):
    """A process did not start. The message names it and has the end of its output."""


class Processes:
    """Child processes. They are stopped in the reverse order of their start."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process whose output goes to ``NAME.log``."""
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=dict(environ) if environ is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # In a session of its own the child does not get Ctrl-C, so that we can stop all in order.
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509  this process has no threads when children start
            )
        self._running.append((name, process))
        return process

    def pid(self, name: str) -> int:
        """Return the process id of a running process."""
        return dict(self._running)[name].pid

    def wait_until(self, name: str, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for a process to be ready.

        Raises:
            StartFailed: if it ended, or is not ready after ``seconds``.
            KeyboardInterrupt: if a signal was noted.
        """
        process = dict(self._running)[name]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            end_if_signaled()
            if ready():
                return
            time.sleep(0.05)
        raise StartFailed(f"{name} did not start:\n{self.output(name)[-2000:]}")

    def output(self, name: str) -> str:
        """Return what a process has written so far."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def ended(self) -> str | None:
        """Return the name of a process that ended by itself, or None."""
        return next((name for name, process in self._running if process.poll() is not None), None)

    def stop(self) -> None:
        """Stop all processes by SIGTERM. After 20 s kill those that are left, with their children."""
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


def note_signals() -> None:
    """Have SIGINT, SIGTERM and SIGHUP noted from now on, for ``end_if_signaled``.

    A handler that raises an exception is no safe way to stop: Python drops the exception if it comes within a finalizer, and
    within ``Popen.poll`` it leaves a lock locked, so that no later ``Popen.wait`` returns.
    """
    # A shell starts background jobs with SIGINT ignored, and Python would leave it so.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, _: signals.append(number))


def end_if_signaled() -> None:
    """Look whether a signal was noted. Every loop that waits calls this.

    Raises:
        KeyboardInterrupt: one was. Those that come later interrupt nothing.
    """
    if signals:
        raise KeyboardInterrupt


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends."""
    # A process that is killed cannot stop its children itself (prctl(2), Linux only).
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
