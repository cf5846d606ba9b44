"""Deadlines of records: sorted sets of ids by time, spread over a cluster's nodes."""

from collections.abc import Mapping
from datetime import datetime

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.script import Script, Step, run_all

_KEPT_MS = 3 * 86_400_000
"""Time for which an idle set is kept. It is longer than the farthest deadline, which is a day away (for a result)."""
_MOST_DUE = 100


class RedisDeadlines:
    """Deadlines over Redis."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._schedule = Script("schedule")
        self._postpone = Script("postpone")

    def step(self, verification_id: str, at: datetime) -> Step:
        """Return the step that sets the deadline of a record."""
        args: list[str | bytes | int] = [_ms(at), verification_id, _KEPT_MS]
        return Step(self._schedule, [self._keys.due(verification_id)], args)

    def due(self, now: datetime) -> list[str]:
        """Read the earliest deadlines of each part, in one pipeline. Remove members that are not deadlines."""
        due: list[str] = []
        with self._connection.using("due") as client:
            pipeline = client.pipeline(transaction=False)
            for key in self._keys.all_due():
                pipeline.zrange(key, "-inf", _ms(now), byscore=True, offset=0, num=_MOST_DUE)
            parts: list[list[bytes] | Exception] = pipeline.execute(raise_on_error=False)
            for key, members in zip(self._keys.all_due(), parts, strict=True):
                if isinstance(members, Exception):
                    self._connection.skip("deadlines", members)
                    continue
                ours = [each for each in members if self._is_ours(each, key)]
                due += [each.decode() for each in ours]
                # Remove the others, or each sweep would meet them again.
                for member in set(members) - set(ours):
                    self._connection.unreadable("deadlines", ValueError())
                    client.zrem(key, member)
        return due

    def _is_ours(self, member: bytes, key: str) -> bool:
        """Tell if a member is a verification id whose deadline belongs in this part."""
        verification_id = member.decode(errors="replace")
        return self._keys.record(verification_id) is not None and self._keys.due(verification_id) == key

    def is_busy(self) -> bool:
        """Ask every part for its size, in one pipeline."""
        with self._connection.using("due") as client:
            pipeline = client.pipeline(transaction=False)
            for key in self._keys.all_due():
                pipeline.zcard(key)
            counts = pipeline.execute(raise_on_error=False)
            for count in counts:
                if isinstance(count, Exception):
                    self._connection.skip("deadlines", count)
            return any(count for count in counts if not isinstance(count, Exception))

    def postpone(self, deadlines: Mapping[str, datetime | None], seen_at: datetime) -> None:
        """Run one script for each part, all in one pipeline."""
        parts: dict[str, list[str | bytes | int]] = {}
        for verification_id, at in deadlines.items():
            part = parts.setdefault(self._keys.due(verification_id), [_ms(seen_at), _KEPT_MS])
            part += [verification_id, "" if at is None else _ms(at)]
        with self._connection.using("postpone") as client:
            run_all(
                self._connection, client, [Step(self._postpone, [key], args) for key, args in parts.items()]
            )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
