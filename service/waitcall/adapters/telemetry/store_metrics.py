"""Counters of errors at the store."""

from collections.abc import Callable

from prometheus_client import Counter

WHERE = (
    *("answers", "audit", "conversions", "dead_letters", "deadlines", "deliveries"),
    *("inbox", "lease", "limits", "lists", "orders", "record"),
)
"""Closed set of the kinds of entries that may be unreadable."""


class StoreMetrics:
    """Counters of errors at the store. The Redis adapters report to them."""

    def __init__(self, counter: Callable[[str, str, tuple[str, ...]], Callable[..., Counter]]) -> None:
        self._redis_errors = counter("redis_errors", "Failed steps at Redis", ("operation",))
        self._unreadable = counter(
            "unreadable_entries",
            f"Entries in Redis that could not be read and were skipped. where: {', '.join(WHERE)}",
            ("where",),
        )
        # Start these counters at 0, because alerts distinguish 0 from absent.
        for where in WHERE:
            self._unreadable(where)

    def redis_error(self, operation: str) -> None:
        """Count a failed step at Redis."""
        self._redis_errors(operation).inc()

    def unreadable(self, where: str) -> None:
        """Count an entry in Redis that could not be read."""
        self._unreadable(where).inc()
