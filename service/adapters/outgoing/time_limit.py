"""Limits for the whole time that a call takes, however slowly the other side goes on answering.

A socket's timeout starts anew with each byte. To end a peer that drips, somebody beside the call looks at the clock.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Protocol, TypeVar

import gevent

T = TypeVar("T")


class TimeLimit(Protocol):
    """Runs a call within its time."""

    def __call__(self, seconds: float, call: Callable[[], T], ended: Callable[[], object]) -> T:
        """Return what the call returns. ``ended`` is called once the call has ended, which may be after its time.

        Raises:
            TimeoutError: its time is over.
        """
        ...


def within_greenlet(seconds: float, call: Callable[[], T], ended: Callable[[], object]) -> T:
    """TimeLimit of a process that gevent runs: a call that takes too long is interrupted where it waits.

    The call must leave nothing half done, whatever interrupts it.
    """
    clock = gevent.Timeout.start_new(seconds)
    try:
        return call()
    except gevent.Timeout as over:
        if over is not clock:
            raise
        raise TimeoutError from over
    finally:
        clock.close()
        ended()


def within_thread(seconds: float, call: Callable[[], T], ended: Callable[[], object]) -> T:
    """TimeLimit of any other process: a call that takes too long is left alone, and goes on until its sockets give up."""
    # One thread for each call: the callers bound how many there are.
    thread = ThreadPoolExecutor(1, thread_name_prefix="limited")
    try:
        # Its log lines carry the request's id.
        future = thread.submit(copy_context().run, call)
        future.add_done_callback(lambda _: ended())
        return future.result(timeout=seconds)
    finally:
        thread.shutdown(wait=False)
