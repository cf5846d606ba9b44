"""Numbers shown and called, counted by buckets of time."""

import re
from datetime import datetime

from service.adapters.redis.connection import Connection
from service.adapters.redis.keys import Keys
from service.adapters.redis.script import Script
from service.domain.conversion import Bucket, Budget

_MOST_FIELDS = 200
_FIELD = re.compile(rb"([sc]):([0-9]+)")


class RedisConversions:
    """Conversions over Redis: one hash a group."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._tally = Script("tally")

    def started(self, budget: Budget, subject: str, at: datetime) -> None:
        """One more shown."""
        self._count("s", budget, subject, at)

    def called(self, budget: Budget, subject: str, shown_at: datetime) -> None:
        """One more called."""
        self._count("c", budget, subject, shown_at)

    def buckets(self, budget: Budget, subject: str) -> list[Bucket]:
        """All that is kept."""
        with self._connection.using("conversion") as client:
            counted = client.hgetall(self._key(budget, subject))
        by_start: dict[int, dict[bytes, int]] = {}
        for field, count in counted.items():
            match = _FIELD.fullmatch(field)
            if match:
                by_start.setdefault(int(match[2]), {})[match[1]] = int(count)
        return [Bucket(start, each.get(b"s", 0), each.get(b"c", 0)) for start, each in by_start.items()]

    def clear(self, budget: Budget, subject: str) -> None:
        """Start anew."""
        with self._connection.using("conversion") as client:
            client.delete(self._key(budget, subject))

    def _count(self, what: str, budget: Budget, subject: str, at: datetime) -> None:
        bucket = budget.bucket_of(at)
        keep = 2 * budget.window_seconds + budget.bucket_seconds
        args: list[str | bytes | int] = [f"{what}:{bucket}", bucket - keep, keep * 1000, _MOST_FIELDS]
        with self._connection.using("tally") as client:
            self._tally.run(client, [self._key(budget, subject)], args)

    def _key(self, budget: Budget, subject: str) -> str:
        return self._keys.conversion(budget.group, subject, budget.bucket_seconds)
