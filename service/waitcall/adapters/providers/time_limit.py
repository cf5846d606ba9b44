"""Limits for the total time of a call, even if the other side keeps answering slowly.

A socket's timeout starts anew with each byte. So another greenlet or thread must watch the total time.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Protocol, TypeVar

import gevent

T = TypeVar("T")


class TimeLimit(Protocol):
    """Function that runs a call within a time limit."""

    def __call__(self, seconds: float, call: Callable[[], T], ended: Callable[[], object]) -> T:
        """Run the call and return its result.

        Args:
            seconds: the limit.
            call: the call to run.
            ended: called once when the call has ended, which may be after the limit.

        Raises:
            TimeoutError: the call took longer than the limit.
        """
        ...


def within_greenlet(seconds: float, call: Callable[[], T], ended: Callable[[], object]) -> T:
    """TimeLimit for a process that gevent runs: a call that takes too long is interrupted where it waits.

    The call must be safe to interrupt at any wait.
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
    """TimeLimit for any other process: a call that takes too long goes on in its thread until its sockets time out."""
    # Each call has a thread of its own. The callers limit the number of calls.
    thread = ThreadPoolExecutor(1, thread_name_prefix="limited")
    try:
        # The copied context gives the request's id to the log lines of the call.
        future = thread.submit(copy_context().run, call)
        future.add_done_callback(lambda _: ended())
        return future.result(timeout=seconds)
    finally:
        thread.shutdown(wait=False)
