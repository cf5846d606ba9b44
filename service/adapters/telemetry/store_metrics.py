"""Counters of what went wrong at the store."""

from collections.abc import Callable

from prometheus_client import Counter

WHERE = (
    *("answers", "audit", "conversions", "dead_letters", "deadlines", "deliveries"),
    *("inbox", "lease", "limits", "lists", "orders", "record"),
)
"""Where an entry may be unreadable."""


class StoreMetrics:
    """Told by the store's adapters."""

    def __init__(self, counter: Callable[[str, str, tuple[str, ...]], Callable[..., Counter]]) -> None:
        self._redis_errors = counter("redis_errors", "Failed steps at Redis", ("operation",))
        self._unreadable = counter(
            "unreadable_entries", "Entries in Redis that could not be read and were passed over", ("where",)
        )
        # Zero and absent differ for an alert.
        for where in WHERE:
            self._unreadable(where)

    def redis_error(self, operation: str) -> None:
        """One step at Redis failed."""
        self._redis_errors(operation).inc()

    def unreadable(self, where: str) -> None:
        """An entry in Redis could not be read."""
        self._unreadable(where).inc()
