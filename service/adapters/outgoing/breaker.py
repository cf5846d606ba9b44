"""Circuit breaker: after failures in a row nothing is asked for a while."""

from collections.abc import Callable
from math import inf
from time import monotonic


class Breaker:
    """Opens after so many failures in a row, and lets everybody through again when its pause is over.

    The first failure after a pause opens it again; the first success closes it.
    """

    def __init__(self, failures: int, pause_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._most = failures
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._failures = 0
        self._open_until = -inf

    @property
    def seconds_left(self) -> float:
        """Seconds until the next call may be made; 0 while it is closed."""
        return max(self._open_until - self._clock(), 0.0)

    def failed(self) -> None:
        """Count a failure. Calls that were under way when it opened do not prolong its pause."""
        if self.seconds_left:
            return
        self._failures += 1
        if self._failures >= self._most:
            self._open_until = self._clock() + self._pause_seconds

    def succeeded(self) -> None:
        """Close it."""
        self._failures, self._open_until = 0, -inf
