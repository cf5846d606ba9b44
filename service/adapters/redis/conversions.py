"""Numbers shown and called, counted by buckets of time."""

import re
from collections.abc import Mapping

from service.adapters.redis.connection import Connection
from service.adapters.redis.keys import Keys
from service.adapters.redis.script import Script, Step
from service.application.chronicle import Tally
from service.domain.conversion import Bucket, Budget

_MOST_FIELDS = 200
_FIELD = re.compile(rb"([sc]):([0-9]+)")


class RedisConversions:
    """Conversions over Redis: one hash a group."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._tally = Script("tally")

    def step(self, tally: Tally) -> Step:
        """Counts one more."""
        budget, bucket = tally.budget, tally.budget.bucket_of(tally.shown_at)
        keep = 2 * budget.window_seconds + budget.bucket_seconds
        field = f"{'c' if tally.called else 's'}:{bucket}"
        return Step(
            self._tally,
            [self.key(budget, tally.subject)],
            [field, bucket - keep, keep * 1000, _MOST_FIELDS],
        )

    def buckets(self, budget: Budget, subject: str) -> list[Bucket]:
        """All that is kept."""
        with self._connection.using("conversion") as client:
            return buckets_of(client.hgetall(self.key(budget, subject)))

    def clear(self, budget: Budget, subject: str) -> None:
        """Start anew."""
        with self._connection.using("conversion") as client:
            client.delete(self.key(budget, subject))

    def key(self, budget: Budget, subject: str) -> str:
        """Where a group is counted."""
        return self._keys.conversion(budget.group, subject, budget.bucket_seconds)


def buckets_of(counted: Mapping[bytes, bytes]) -> list[Bucket]:
    """What the hash of a group says."""
    by_start: dict[int, dict[bytes, int]] = {}
    for field, count in counted.items():
        match = _FIELD.fullmatch(field)
        if match:
            by_start.setdefault(int(match[2]), {})[match[1]] = int(count)
    return [Bucket(start, each.get(b"s", 0), each.get(b"c", 0)) for start, each in by_start.items()]
