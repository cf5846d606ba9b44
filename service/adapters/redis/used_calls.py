"""The marks that used calls leave, and texts that look like calls."""

from dataclasses import replace
from datetime import timedelta

from service.adapters.redis.connection import Connection
from service.adapters.redis.keys import Keys
from service.adapters.redis.replicated_write import ReplicatedWrite
from service.adapters.redis.script import Script
from service.domain.call import InboundCall


class UsedCalls:
    """Looks marks up, and sets those of texts; ``claim.lua`` sets those of calls."""

    def __init__(self, connection: Connection, keys: Keys, replicated: ReplicatedWrite) -> None:
        self._connection = connection
        self._keys = keys
        self._replicated = replicated
        self._texted = Script("texted")

    def around(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        """The used call of the same caller that is nearest in time."""
        most = int(within.total_seconds())
        seconds = sorted(range(-most, most + 1), key=abs)
        around = [replace(call, at=call.at + timedelta(seconds=each)) for each in seconds]
        for keys in (self._keys, *self._keys.others):
            with self._connection.using("use_of") as client:
                pipeline = client.pipeline(transaction=False)
                for each in around:
                    pipeline.exists(keys.call(keys.tag(each.cli), each.at))
                found = pipeline.execute()
            for each, used in zip(around, found, strict=True):
                if used:
                    return each
        return None

    def remember_text(self, number: str, text: str, milliseconds: int) -> None:
        """Remember that a text which looks like a call came from a number."""
        keys = [self._keys.texted(number), self._keys.texted(number, text)]
        with self._connection.using("texted") as client:
            self._replicated.run(client, self._texted, keys, [milliseconds])

    def texted(self, number: str, text: str | None) -> bool:
        """Tell if a text that looks like a call came from a number; with ``text``, if this one did."""
        with self._connection.using("texted") as client:
            return any(client.exists(keys.texted(number, text)) for keys in (self._keys, *self._keys.others))
