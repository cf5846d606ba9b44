"""Marks of used calls, and of texts that look like calls."""

from dataclasses import replace
from datetime import datetime, timedelta

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys, keep_ms
from waitcall.adapters.redis.script import Script, ScriptRunner, Step
from waitcall.domain.matching import InboundCall


class RedisUsedCalls:
    """UsedCalls over Redis. ``claim.lua`` sets the marks of calls."""

    def __init__(self, connection: Connection, keys: Keys, min_replicas: int = 0) -> None:
        """``min_replicas``: number of replicas that must confirm the mark of a text."""
        self._connection = connection
        self._keys = keys
        self._runner = ScriptRunner(connection, min_replicas)
        self._texted = Script("texted")

    def use_of(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        """Look for a mark at every second around the call, under each pepper."""
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

    def remember_text(self, number: str, text: str, until: datetime, now: datetime) -> None:
        """Set both marks with one script, replicated like the mark of a used call."""
        keys = [self._keys.texted(number), self._keys.texted(number, text)]
        self._runner.run("texted", Step(self._texted, keys, [keep_ms(until, now)]), replicated=True)

    def was_texted_by(self, number: str, text: str | None = None) -> bool:
        """Look for the mark under each pepper."""
        with self._connection.using("texted") as client:
            return any(client.exists(keys.texted(number, text)) for keys in (self._keys, *self._keys.others))
