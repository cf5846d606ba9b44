"""Guard around provider requests that a caller waits for: limits on their number and time, and a circuit breaker."""

import logging
from collections.abc import Callable
from math import ceil
from threading import BoundedSemaphore
from time import monotonic
from typing import TypeVar

from waitcall.adapters.providers.breaker import Breaker
from waitcall.adapters.providers.request_outcome import RequestOutcome
from waitcall.adapters.providers.time_limit import TimeLimit
from waitcall.adapters.providers.transport import Account, ProviderMetrics
from waitcall.domain.errors import ProviderError, ProviderFailure, ProviderUnavailable

BREAKER_FAILURES = 10
BREAKER_SECONDS = 10
"""Seconds for which calls are refused at once after repeated failures (the contract allows 20)."""
PAUSE_SECONDS = 15
"""Seconds without calls after wrong credentials or a blocked address. The provider blocks longer after repeated errors
(smsc-api.md, section 0)."""
RETRY_AFTER_SECONDS = 5
_SOCKET_SHARE = 0.95
"""Share of the time limit after which sockets time out. A peer that is silent is counted there; the rest of the time limit ends a
peer that sends slowly."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


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
        try:
            result = self._within_budget(call)
        except ProviderUnavailable:
            self._outage.failed()
            raise
        except ProviderFailure:
            # The provider answered, so there is no outage.
            self._outage.succeeded()
            raise
        self._outage.succeeded()
        return result

    def pause(self) -> ProviderError:
        """Stop calls for a while, because the provider refused our credentials or address. Return the error to raise."""
        self._refusal.failed()
        _log.error(
            "calls paused: the provider refuses our credentials or address",
            extra={"operation": self._operation, "seconds": PAUSE_SECONDS},
        )
        return ProviderError("The provider refuses our credentials or address.")

    def _within_budget(self, call: Callable[[float], T]) -> T:
        deadline = monotonic() + self._budget_seconds * _SOCKET_SHARE
        try:
            # A call that has exceeded its time limit may go on in its thread. It counts as in flight until it ends.
            return self._time_limit(self._budget_seconds, lambda: call(deadline), self._in_flight.release)
        except TimeoutError as error:
            raise ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS) from error
