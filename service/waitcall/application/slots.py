"""A bounded number of places in one process."""

from queue import Empty, SimpleQueue


class Slots:
    """Places to take and give back, first come, first served.

    A semaphore of ``threading`` does not work here: under gevent hundreds of waiting requests queue for its inner lock.
    Those that want to give a place back queue too, and nothing moves for seconds.
    """

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def take(self, seconds: float = 0) -> bool:
        """Take a place. Return False if none was free within ``seconds``."""
        try:
            self._free.get(block=seconds > 0, timeout=seconds or None)
        except Empty:
            return False
        return True

    def give_back(self) -> None:
        """Give a place back to the next in the queue."""
        self._free.put(None)
