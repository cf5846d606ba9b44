"""NumberPool over Redis: for each subscriber, the numbers of ours that were shown lately."""

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
        free = [each.value for each in numbers if each.value not in shown]
        if not free:
            return min(shown[each.value] for each in numbers)
        args: Args = [milliseconds(now), milliseconds(until), keep_ms(until, now), *free]
        step = Step(_SHOW, [self._keys.shown(tag)], args)
        chosen, earliest = self._connection.run("show", step, replicated=True)
        return E164(chosen.decode()) if chosen else datetime.fromtimestamp(int(earliest) / 1000, UTC)

    def _shown(self, tags: Sequence[str], now: datetime) -> dict[str, datetime]:
        """Return the numbers that were shown under some tags, with the time until which they are not shown again."""
        shown: dict[str, datetime] = {}
        for tag in tags:
            with self._connection.using("shown") as client:
                members = client.zrange(
                    self._keys.shown(tag), milliseconds(now), "+inf", byscore=True, withscores=True
                )
            shown |= {number.decode(): datetime.fromtimestamp(at / 1000, UTC) for number, at in members}
        return shown
