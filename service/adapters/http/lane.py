"""A lane for work that strangers can cause at will, so that callbacks, reads and probes are not behind it.

A worker process computes one thing at a time. Long bodies, drawn pages and refusals pass here one by one, and after each
the process turns to everybody else. Works with plain threads and, patched, under gevent.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import sleep, thread_time

from service.domain.errors import RateLimited

LONG_BYTES = 16 * 1024
"""Longer bodies take the lane. A genuine message is shorter: 1000 Cyrillic letters, however they are written, or a batch of a
hundred entries."""

REST_AFTER_A_BODY = 100
"""Times what reading it took: so long bodies get a hundredth of a process, and the 99th percentile of others is theirs."""

SHORTEST_REST_SECONDS = 0.001
LONGEST_REST_SECONDS = 1.0
PATIENCE_SECONDS = 2.0


class Lane:
    """One at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    @contextmanager
    def turn(self, rest: int = 0) -> Iterator[None]:
        """Wait for a turn; the next begins after a rest. Nothing in it may wait for the network.

        Args:
            rest: times the CPU time that was used.

        Raises:
            RateLimited: too much is before it.
        """
        if not self._turn.acquire(timeout=PATIENCE_SECONDS):
            raise RateLimited(retry_after=1)
        began = thread_time()
        try:
            yield
        finally:
            used = thread_time() - began
            sleep(min(max(rest * used, SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS))
            self._turn.release()

    @contextmanager
    def turn_if_long(self, body: bytes) -> Iterator[None]:
        """Wait for a turn where the body is long.

        Raises:
            RateLimited: too much is before it.
        """
        if len(body) <= LONG_BYTES:
            yield
            return
        with self.turn(REST_AFTER_A_BODY):
            yield

    def refuse(self) -> None:
        """Wait for a turn with nothing to do, so that refusals leave one by one."""
        with suppress(RateLimited), self.turn():
            pass
