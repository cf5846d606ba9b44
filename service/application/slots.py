"""A bounded number of places in one process."""

from queue import Empty, SimpleQueue


class Slots:
    """Places to take and give back, first come, first served.

    Not threading's semaphore: under gevent hundreds of waiting requests then queue for its inner lock, also those that
    want to give a place back, and nothing moves for seconds.
    """

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def take(self, seconds: float = 0) -> bool:
        """Take a place; False where none was free in time."""
        try:
            self._free.get(block=seconds > 0, timeout=seconds or None)
        except Empty:
            return False
        return True

    def give_back(self) -> None:
        """Let the next one in."""
        self._free.put(None)
