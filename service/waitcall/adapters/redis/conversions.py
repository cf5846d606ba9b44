"""Counts of the conversion guard: numbers shown and called, by bucket of time."""

import re
from collections.abc import Mapping

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.script import Script, Step
from waitcall.application.effects import ConversionCount
from waitcall.domain.conversion import Bucket, ConversionBudget

_MOST_FIELDS = 200
_FIELD = re.compile(rb"([a-z]):([0-9]{1,12})")
_COUNT = re.compile(rb"[0-9]{1,12}")


class RedisConversionCounts:
    """ConversionCounts over Redis. Each group has one hash."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._count = Script("count_conversion")

    def step(self, count: ConversionCount) -> Step:
        """Return the step that counts one verification."""
        budget, bucket = count.budget, count.budget.bucket_of(count.shown_at)
        keep = 2 * budget.window_seconds + budget.bucket_seconds
        field = f"{'c' if count.called else 's'}:{bucket}"
        return Step(
            self._count,
            [self.key(budget, count.subject)],
            [field, bucket - keep, keep * 1000, _MOST_FIELDS],
        )

    def buckets(self, budget: ConversionBudget, subject: str) -> list[Bucket]:
        """Read all buckets of a group."""
        key = self.key(budget, subject)
        with self._connection.using("conversion") as client:
            counted = client.hgetall(key)
        return self.read(key, counted)

    def read(self, key: str, counted: Mapping[bytes, bytes]) -> list[Bucket]:
        """Turn the hash of a group into buckets. Remove fields that cannot be read, or each create would meet them again."""
        by_start: dict[int, dict[bytes, int]] = {}
        for field, count in counted.items():
            match = _FIELD.fullmatch(field)
            if match is None or not _COUNT.fullmatch(count):
                self._connection.unreadable("conversions", ValueError())
                with self._connection.using("conversion") as client:
                    client.hdel(key, field)
                continue
            by_start.setdefault(int(match[2]), {})[match[1]] = int(count)
        return [Bucket(start, each.get(b"s", 0), each.get(b"c", 0)) for start, each in by_start.items()]

    def clear(self, budget: ConversionBudget, subject: str) -> None:
        """Delete the hash of a group."""
        with self._connection.using("conversion") as client:
            client.delete(self.key(budget, subject))

    def key(self, budget: ConversionBudget, subject: str) -> str:
        """Return the Redis key of a group's hash."""
        return self._keys.conversion(budget.group, subject, budget.bucket_seconds)
