"""So many seconds for something that waits for others, however slowly these go on answering.

A socket's timeout starts anew with each byte, so whatever drips needs somebody beside it who looks at the clock.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Protocol, TypeVar

import gevent
from gevent import monkey

T = TypeVar("T")


class Budget(Protocol):
    """Runs acts."""

    def within(self, seconds: float, act: Callable[[], T], ended: Callable[[], object]) -> T:
        """What the act gives; ``ended`` is called once it has ended, which may be after its time.

        Raises:
            TimeoutError: its time is over.
        """
        ...

    def close(self) -> None:
        """Take no more acts."""
        ...


class GreenletBudget:
    """Where gevent is: an act that waits too long is interrupted where it waits."""

    def within(self, seconds: float, act: Callable[[], T], ended: Callable[[], object]) -> T:
        """Of this greenlet. The act must leave nothing half done, whatever interrupts it."""
        clock = gevent.Timeout.start_new(seconds)
        try:
            return act()
        except gevent.Timeout as over:
            if over is not clock:
                raise
            raise TimeoutError from over
        finally:
            clock.close()
            ended()

    def close(self) -> None:
        """Nothing is kept."""


class ThreadBudget:
    """Where threads are: an act that takes too long is left alone, and goes on until its sockets give up."""

    def __init__(self, name: str, most: int) -> None:
        """``most`` at once."""
        self._threads = ThreadPoolExecutor(most, thread_name_prefix=name)

    def within(self, seconds: float, act: Callable[[], T], ended: Callable[[], object]) -> T:
        """In a thread of its own, whose log lines carry the request's id."""
        future = self._threads.submit(copy_context().run, act)
        future.add_done_callback(lambda _: ended())
        return future.result(timeout=seconds)

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def budget(name: str, most: int) -> Budget:
    """The one for this process."""
    return GreenletBudget() if monkey.is_module_patched("socket") else ThreadBudget(name, most)
