"""A lane for work that strangers can cause at will, so that callbacks, reads and probes are not behind it.

A worker process computes one thing at a time. Long bodies, drawn pages and refusals pass here one by one, and after each
the process turns to everybody else. Works with plain threads and, patched, under gevent.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep

from service.domain.errors import RateLimited

LONG_BYTES = 8 * 1024
"""Longer messages take the lane: a single genuine one, 1000 Cyrillic letters at their longest, is shorter."""

SHORTEST_REST_SECONDS = 0.001
RESTS = 4
"""After each piece of work, times what it took: so the lane gets a fifth of the process at most."""

PATIENCE_SECONDS = 2.0


class Lane:
    """One at a time, in the order of arrival."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn; the next begins after a rest. Nothing in it may wait for the network.

        Raises:
            RateLimited: too much is before it.
        """
        if not self._turn.acquire(timeout=PATIENCE_SECONDS):
            raise RateLimited(retry_after=1)
        began = monotonic()
        try:
            yield
        finally:
            sleep(max(RESTS * (monotonic() - began), SHORTEST_REST_SECONDS))
            self._turn.release()

    @contextmanager
    def turn_if_long(self, message: bytes) -> Iterator[None]:
        """Wait for a turn where the message is long."""
        if len(message) <= LONG_BYTES:
            yield
            return
        with self.turn():
            yield

    def refuse(self) -> None:
        """Wait for a turn with nothing to do, so that refusals leave one by one."""
        with suppress(RateLimited), self.turn():
            pass
