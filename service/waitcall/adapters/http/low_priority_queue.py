"""Queue for work that strangers can cause at will, so that it does not delay callbacks, reads and probes.

A worker process computes one thing at a time. Long bodies, rendered pages and refusals pass this queue one by one, and
after each one the process serves other requests. It works with threads, and with gevent if the process is patched.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import sleep, thread_time

from waitcall.domain.errors import RateLimited

LONG_BYTES = 16 * 1024
"""Bodies above this size use the queue. Genuine messages are shorter: 1000 Cyrillic letters in any encoding, or a batch of
100 entries."""

REST_AFTER_A_BODY = 100
"""Pause after a long body, as a multiple of the CPU time that it took. So long bodies use at most 1 % of a process, and
barely affect the 99th percentile of other requests."""

SHORTEST_REST_SECONDS = 0.001
LONGEST_REST_SECONDS = 1.0
PATIENCE_SECONDS = 2.0


class LowPriorityQueue:
    """Queue that lets one piece of work run at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    @contextmanager
    def turn(self, rest: int = 0) -> Iterator[None]:
        """Wait for a turn. After it the queue pauses. Code inside the turn must not wait for the network.

        Args:
            rest: length of the pause, as a multiple of the CPU time that the turn used.

        Raises:
            RateLimited: the queue is too long.
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
        """Wait for a turn if the body is long.

        Raises:
            RateLimited: the queue is too long.
        """
        if len(body) <= LONG_BYTES:
            yield
            return
        with self.turn(REST_AFTER_A_BODY):
            yield

    def refuse(self) -> None:
        """Wait for a turn without work, so that refusals are answered one by one. If the queue is too long, go on."""
        with suppress(RateLimited), self.turn():
            pass
