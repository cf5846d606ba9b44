"""What was spent, as sliding periods in Redis: exact, and given back where nothing came of it."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil

from service.adapters.redis.connection import Connection
from service.adapters.redis.keys import Keys
from service.adapters.redis.script import Script
from service.domain.limits import Spending


class RedisLimits:
    """Limits over Redis. Each limit is one key, counted atomically; a refusal gives the others back."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._spend = Script("spend")

    def spend(self, spendings: Sequence[Spending], token: str, now: datetime) -> int | None:
        """Count the token against all limits, or against none."""
        for index, spending in enumerate(spendings):
            wait = self._spend_one(spending, token, now)
            if wait is not None:
                self.give_back(spendings[:index], token)
                return wait
        return None

    def give_back(self, spendings: Sequence[Spending], token: str) -> None:
        """Uncount the token."""
        for spending in spendings:
            with self._connection.using("give_back") as client:
                client.zrem(self._key(spending), token)

    def _spend_one(self, spending: Spending, token: str, now: datetime) -> int | None:
        now_ms = int(now.timestamp() * 1000)
        period_ms = spending.limit.period_seconds * 1000
        args: list[str | bytes | int] = [now_ms, now_ms - period_ms, period_ms, spending.limit.count, token]
        with self._connection.using("spend") as client:
            oldest = float(self._spend.run(client, [self._key(spending)], args))
        return None if oldest == 0 else max(ceil((oldest + period_ms - now_ms) / 1000), 1)

    def _key(self, spending: Spending) -> str:
        limit = spending.limit
        return self._keys.limit(spending.scope, spending.subject, limit.count, limit.period_seconds)
