"""Guard around provider requests that a caller waits for: limits on their number and time, and circuit breakers."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from math import ceil, inf
from threading import BoundedSemaphore
from time import monotonic
from typing import Protocol, TypeVar

import gevent

from waitcall.adapters.providers.transport import Account, ProviderMetrics, RequestOutcome
from waitcall.domain.errors import NumberRefused, ProviderError, ProviderFailure, ProviderUnavailable

BREAKER_FAILURES = 10
BREAKER_SECONDS = 10
"""Seconds for which calls are refused at once after repeated failures (the contract allows 20)."""
PROBE_SECONDS = 1
"""Seconds between two calls after such a pause, until one succeeds. Otherwise every call would wait for a provider that is still
silent (docs/adr/0059)."""
PAUSE_SECONDS = 15
"""Seconds without calls after wrong credentials or a blocked address. The provider blocks longer after repeated errors
(smsc-api.md, section 0)."""
RETRY_AFTER_SECONDS = 5
SOCKET_SHARE = 0.95
"""Share of the time limit after which sockets time out. A peer that is silent is counted there; the rest of the time limit ends a
peer that sends slowly."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class TimeLimit(Protocol):
    """Function that limits the total time of a call, even if the other side keeps answering slowly.

    A socket's timeout starts anew with each byte. So another greenlet or thread must watch the total time.
    """

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


class Breaker:
    """Breaker that opens after ``failures`` failures in a row. After ``pause_seconds`` it admits one call each second.

    A failure then opens it again. A success closes it.
    """

    def __init__(self, failures: int, pause_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._most = failures
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._failures = 0
        self._open_until = -inf
        self._probing = False

    @property
    def seconds_left(self) -> float:
        """Seconds until the next call may be made; 0 if it may be made now."""
        return max(self._open_until - self._clock(), 0.0)

    def called(self) -> None:
        """Note that a call is made. If it is the first after a pause, the next one may be made in ``PROBE_SECONDS``."""
        if self._failures >= self._most:
            self._probing = True
            self._open_until = self._clock() + PROBE_SECONDS

    def failed(self) -> None:
        """Count a failure. Calls that were under way when the breaker opened do not prolong its pause."""
        if self.seconds_left and not self._probing:
            return
        self._failures += 1
        self._probing = False
        if self._failures >= self._most:
            self._open_until = self._clock() + self._pause_seconds

    def succeeded(self) -> None:
        """Close the breaker."""
        self._failures, self._open_until, self._probing = 0, -inf, False


class GuardedCalls:
    """Guard of the calls of one operation at a provider."""

    def __init__(
        self, operation: str, account: Account, metrics: ProviderMetrics, time_limit: TimeLimit
    ) -> None:
        self._operation = operation
        self._budget_seconds = account.budget_seconds
        self._metrics = metrics
        self._in_flight = BoundedSemaphore(account.max_in_flight)
        self._time_limit = time_limit
        self._outage = Breaker(BREAKER_FAILURES, BREAKER_SECONDS)
        self._refusal = Breaker(1, PAUSE_SECONDS)

    def run(self, call: Callable[[float], T]) -> T:
        """Make the call and return its result.

        Args:
            call: gets the monotonic time at which its sockets must time out.

        Raises:
            ProviderUnavailable: the call was not made, because a breaker is open or too many calls are under way; or it
                took longer than the time limit.
            ProviderFailure: the call raised it.
        """
        pause = max(self._refusal.seconds_left, self._outage.seconds_left)
        if pause:
            self._metrics.provider_request(self._operation, RequestOutcome.NOT_SENT, 0.0)
            raise ProviderUnavailable(retry_after=ceil(pause))
        if not self._in_flight.acquire(blocking=False):
            self._metrics.provider_request(self._operation, RequestOutcome.NOT_SENT, 0.0)
            raise ProviderUnavailable("Too many orders are under way.", retry_after=1)
        self._outage.called()
        deadline = monotonic() + self._budget_seconds * SOCKET_SHARE
        try:
            # A call that has exceeded its time limit may go on in its thread. It counts as in flight until it ends.
            result = self._time_limit(self._budget_seconds, lambda: call(deadline), self._in_flight.release)
        except TimeoutError as error:
            self._outage.failed()
            raise ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS) from error
        except ProviderUnavailable:
            self._outage.failed()
            raise
        except ProviderFailure:
            # The provider answered, so there is no outage.
            self._outage.succeeded()
            raise
        self._outage.succeeded()
        return result

    def failure(self, outcome: RequestOutcome) -> ProviderFailure:  # noqa: PLR0911  the table of outcomes
        """Return the error to raise for a request. If the provider refused our credentials, stop calls for a while."""
        match outcome:
            case RequestOutcome.UNREACHABLE | RequestOutcome.TIMEOUT | RequestOutcome.SERVER_ERROR:
                return ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS)
            case RequestOutcome.UNREADABLE:
                return ProviderError("The provider's answer cannot be read.")
            case RequestOutcome.THROTTLED:
                return ProviderUnavailable("The provider is asked too often.", retry_after=60)
            case RequestOutcome.NUMBER_REFUSED:
                return NumberRefused()
            case RequestOutcome.BAD_NUMBER:
                return ProviderError("The provider gave a number that must not be shown.")
            case RequestOutcome.CREDENTIALS:
                self._refusal.failed()
                _log.error(
                    "calls paused: the provider refuses our credentials or address",
                    extra={"operation": self._operation, "seconds": PAUSE_SECONDS},
                )
                return ProviderError("The provider refuses our credentials or address.")
            case _:
                return ProviderError()
