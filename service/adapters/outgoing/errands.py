"""What every request that somebody waits for goes through: a bulkhead, a time budget, two breakers."""

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import BoundedSemaphore
from time import monotonic
from typing import TypeVar

from circuitbreaker import CircuitBreaker

from service.adapters.outgoing.budget import budget
from service.adapters.outgoing.outcome import Outcome
from service.adapters.outgoing.transport import ProviderMetrics
from service.domain.errors import ProviderError, ProviderFailure, ProviderUnavailable

BREAKER_FAILURES = 10
BREAKER_SECONDS = 10
"""Refused at once for this long after repeated failures (the contract allows 20)."""
PAUSE_SECONDS = 15
"""After wrong credentials or a blocked address: repeated errors earn a longer block (section 0)."""
RETRY_AFTER_SECONDS = 5
_SOCKET_SHARE = 0.95
"""Of the budget: a plain hang ends, and is counted, on its socket; the rest of the budget is for drips."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class _CredentialsRefused(Exception):
    """Codes 2 and 4."""


class Errands:
    """One operation at the provider: so many at once, so long each, and not at all while it is known to fail."""

    def __init__(
        self, operation: str, budget_seconds: float, metrics: ProviderMetrics, max_in_flight: int
    ) -> None:
        self._operation = operation
        self._budget_seconds = budget_seconds
        self._metrics = metrics
        self._in_flight = BoundedSemaphore(max_in_flight)
        self._budget = budget(operation, max_in_flight)
        self._outage = CircuitBreaker(
            failure_threshold=BREAKER_FAILURES,
            recovery_timeout=BREAKER_SECONDS,
            expected_exception=ProviderUnavailable,
            name="outage",
        )
        self._refusal = CircuitBreaker(
            failure_threshold=1,
            recovery_timeout=PAUSE_SECONDS,
            expected_exception=_CredentialsRefused,
            name="credentials",
        )

    def run(self, errand: Callable[[float], T]) -> T:
        """Do it, unless it would fail anyway.

        Args:
            errand: given the monotonic time by which its sockets must have given up.

        Raises:
            ProviderUnavailable: not asked at all for now, or over the budget.
            ProviderFailure: the errand's own.
        """
        for breaker in (self._refusal, self._outage):
            if breaker.opened:
                self._metrics.provider_request(self._operation, Outcome.NOT_SENT, 0.0)
                raise ProviderUnavailable(retry_after=max(breaker.open_remaining, 1))
        if not self._in_flight.acquire(blocking=False):
            self._metrics.provider_request(self._operation, Outcome.NOT_SENT, 0.0)
            raise ProviderUnavailable("Too many orders are under way.", retry_after=1)
        try:
            result = self._within_budget(errand)
        except ProviderFailure as failure:
            if not (isinstance(failure, ProviderUnavailable) and self._outage.opened):
                with self._outage:
                    raise
            # The breaker knows already; what was under way must not prolong its pause.
            raise
        self._outage.reset()
        return result

    def pause(self) -> ProviderError:
        """Ask nothing for a while: our credentials or our address were refused. Returns what to raise."""
        with suppress(_CredentialsRefused), self._refusal:
            raise _CredentialsRefused
        _log.error(
            "orders paused: credentials refused",
            extra={"operation": self._operation, "seconds": PAUSE_SECONDS},
        )
        return ProviderError("The provider refuses our credentials or address.")

    def close(self) -> None:
        """Ask nothing more."""
        self._budget.close()

    def _within_budget(self, errand: Callable[[float], T]) -> T:
        deadline = monotonic() + self._budget_seconds * _SOCKET_SHARE
        try:
            # What was left alone counts as in flight until it ends.
            return self._budget.within(
                self._budget_seconds, lambda: errand(deadline), self._in_flight.release
            )
        except TimeoutError as error:
            raise ProviderUnavailable(retry_after=RETRY_AFTER_SECONDS) from error
