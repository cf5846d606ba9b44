"""NumberPool over Redis: for each subscriber, our own numbers that were shown lately."""

from collections.abc import Sequence
from datetime import UTC, datetime

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys, keep_ms, milliseconds
from waitcall.adapters.redis.script import Args, Script, Step
from waitcall.domain.numbers import E164

_SHOW = Script("show")


class RedisNumberPool:
    """NumberPool over Redis."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def show(
        self, subscriber: E164, numbers: Sequence[E164], until: datetime, now: datetime
    ) -> E164 | datetime:
        """Choose and remember with one script. While the pepper rotates, look under the other one first."""
        tag, *others = self._keys.all_tags(subscriber.value)
        shown = self._shown(others, now)
        free = [each.value for each in numbers if each not in shown]
        if not free:
            return min(shown[each] for each in numbers)
        args: Args = [milliseconds(now), milliseconds(until), keep_ms(until, now), *free]
        step = Step(_SHOW, [self._keys.shown(tag)], args)
        chosen, earliest = self._connection.run("show", step, replicated=True)
        return E164(chosen.decode()) if chosen else datetime.fromtimestamp(int(earliest) / 1000, UTC)

    def shown(self, subscriber: E164, now: datetime) -> dict[E164, datetime]:
        """Read the numbers under each pepper and form of the subscriber's number."""
        return self._shown(self._keys.all_tags(subscriber.value), now)

    def _shown(self, tags: Sequence[str], now: datetime) -> dict[E164, datetime]:
        shown: dict[E164, datetime] = {}
        for tag in tags:
            with self._connection.using("shown") as client:
                members = client.zrange(
                    self._keys.shown(tag), f"({milliseconds(now)}", "+inf", byscore=True, withscores=True
                )
            shown |= {E164(number.decode()): datetime.fromtimestamp(at / 1000, UTC) for number, at in members}
        return shown
