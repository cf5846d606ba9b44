"""Guard around every request that somebody waits for: so many at once, so long each, and none while they fail anyway."""

import logging
from collections.abc import Callable
from math import ceil
from threading import BoundedSemaphore
from time import monotonic
from typing import TypeVar

from service.adapters.outgoing.breaker import Breaker
from service.adapters.outgoing.outcome import Outcome
from service.adapters.outgoing.time_limit import TimeLimit
from service.adapters.outgoing.transport import Account, ProviderMetrics
from service.domain.errors import ProviderError, ProviderFailure, ProviderUnavailable

BREAKER_FAILURES = 10
BREAKER_SECONDS = 10
"""Refused at once for this long after repeated failures (the contract allows 20)."""
PAUSE_SECONDS = 15
"""After wrong credentials or a blocked address: repeated errors earn a longer block (section 0)."""
RETRY_AFTER_SECONDS = 5
_SOCKET_SHARE = 0.95
"""Share of the budget after which sockets give up: a plain hang ends, and is counted, there. The rest is for peers that drip."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class GuardedCalls:
    """Runs the calls of one operation at the provider."""

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
        """Make the call, unless it would fail anyway.

        Args:
            call: given the monotonic time by which its sockets must have given up.

        Raises:
            ProviderUnavailable: not asked at all for now, or over the budget.
            ProviderFailure: the call's own.
        """
        pause = max(self._refusal.seconds_left, self._outage.seconds_left)
        if pause:
            self._metrics.provider_request(self._operation, Outcome.NOT_SENT, 0.0)
            raise ProviderUnavailable(retry_after=ceil(pause))
        if not self._in_flight.acquire(blocking=False):
            self._metrics.provider_request(self._operation, Outcome.NOT_SENT, 0.0)
            raise ProviderUnavailable("Too many orders are under way.", retry_after=1)
        try:
            result = self._within_budget(call)
        except ProviderUnavailable:
            self._outage.failed()
            raise
        except ProviderFailure:
            # The provider answered.
            self._outage.succeeded()
            raise
        self._outage.succeeded()
        return result

    def pause(self) -> ProviderError:
        """Ask nothing for a while: our credentials or our address were refused. Returns what to raise."""
        self._refusal.failed()
        _log.error(
            "orders paused: credentials refused",
            extra={"operation": self._operation, "seconds": PAUSE_SECONDS},
        )
        return ProviderError("The provider refuses our credentials or address.")

    def _within_budget(self, call: Callable[[float], T]) -> T:
        deadline = monotonic() + self._budget_seconds * _SOCKET_SHARE
        try:
            # A call that is left alone counts as in flight until it ends.
            return self._time_limit(self._budget_seconds, lambda: call(deadline), self._in_flight.release)
        except TimeoutError as error:
            raise ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS) from error
