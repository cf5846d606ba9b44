"""When time alone will change a record: sorted sets of ids by instant, spread over a cluster's nodes."""

from datetime import datetime

from service.adapters.redis.connection import Connection
from service.adapters.redis.keys import Keys
from service.adapters.redis.script import Script, Step

_KEPT_MS = 3 * 86_400_000
"""Longer than any deadline is away: a result may wait a day."""
_MOST_DUE = 100


class Deadlines:
    """Ids by the instant at which they are to be looked at."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._schedule = Script("schedule")

    def step(self, verification_id: str, at: datetime) -> Step:
        """Puts a deadline among the others, or in the place of its own."""
        args: list[str | bytes | int] = [int(at.timestamp() * 1000), verification_id, _KEPT_MS]
        return Step(self._schedule, [self._keys.due(verification_id)], args)

    def due(self, now: datetime) -> list[str]:
        """The earliest of each part, in one pipeline."""
        with self._connection.using("due") as client:
            pipeline = client.pipeline(transaction=False)
            for key in self._keys.all_due():
                pipeline.zrange(
                    key, "-inf", int(now.timestamp() * 1000), byscore=True, offset=0, num=_MOST_DUE
                )
            parts: list[list[bytes]] = pipeline.execute()
        return [member.decode() for part in parts for member in part]

    def is_busy(self) -> bool:
        """Whether any part of the deadlines holds one."""
        with self._connection.using("due") as client:
            pipeline = client.pipeline(transaction=False)
            for key in self._keys.all_due():
                pipeline.zcard(key)
            return any(pipeline.execute())

    def remove(self, verification_id: str) -> None:
        """Take the deadline out."""
        with self._connection.using("unschedule") as client:
            client.zrem(self._keys.due(verification_id), verification_id)
