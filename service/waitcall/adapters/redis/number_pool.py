"""NumberPool over Redis: for each subscriber, our own numbers that were shown lately. The store writes them."""

from datetime import UTC, datetime

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys, milliseconds
from waitcall.domain.numbers import E164


class RedisNumberPool:
    """NumberPool over Redis."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def shown(self, subscriber: E164, now: datetime) -> dict[E164, datetime]:
        """Read the numbers under each pepper and form of the subscriber's number."""
        shown: dict[E164, datetime] = {}
        for tag in self._keys.all_tags(subscriber.value):
            with self._connection.using("shown") as client:
                members = client.zrange(
                    self._keys.shown(tag), f"({milliseconds(now)}", "+inf", byscore=True, withscores=True
                )
            shown |= {E164(number.decode()): datetime.fromtimestamp(at / 1000, UTC) for number, at in members}
        return shown
