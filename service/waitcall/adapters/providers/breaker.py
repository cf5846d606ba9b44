"""Circuit breaker: after several failures in a row it stops requests for a while."""

from collections.abc import Callable
from math import inf
from time import monotonic


class Breaker:
    """Breaker that opens after ``failures`` failures in a row, and admits all calls again after ``pause_seconds``.

    The first failure after a pause opens it again; a success resets it.
    """

    def __init__(self, failures: int, pause_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._most = failures
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._failures = 0
        self._open_until = -inf

    @property
    def seconds_left(self) -> float:
        """Seconds until the next call may be made; 0 if the breaker is closed."""
        return max(self._open_until - self._clock(), 0.0)

    def failed(self) -> None:
        """Count a failure. Calls that were under way when the breaker opened do not prolong its pause."""
        if self.seconds_left:
            return
        self._failures += 1
        if self._failures >= self._most:
            self._open_until = self._clock() + self._pause_seconds

    def succeeded(self) -> None:
        """Close the breaker."""
        self._failures, self._open_until = 0, -inf
