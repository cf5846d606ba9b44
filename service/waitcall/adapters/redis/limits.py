"""Counts behind the rate limits and the conversion guard.

Rate limits have exact sliding periods. A use can be given back, if the order that it counted failed. The conversion guard
counts numbers shown and called, by bucket of time.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import ceil, isfinite
from typing import Any

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import Keys, milliseconds
from waitcall.adapters.redis.script import Arg, Script, Step
from waitcall.application.effects import ConversionCount
from waitcall.domain.conversion import Bucket, ConversionBudget
from waitcall.domain.limits import LimitCheck, LimitResult, LimitState, Mode, Scope

Elsewhere = tuple[int, float | None]
"""Number of uses that count under other peppers, and the time of the oldest (milliseconds since 1970)."""

_MOST_FIELDS = 200
_FIELD = re.compile(rb"([a-z]):([0-9]{1,12})")
_COUNT = re.compile(rb"[0-9]{1,12}")

_SPENDS, _UNCOUNT, _COUNT_CONVERSION = Script("spends"), Script("uncount"), Script("count_conversion")


class RedisLimits:
    """Limits over Redis. Each limit is one sorted set of uses by time."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def take(self, limit_checks: Sequence[LimitCheck], token: str | None, now: datetime) -> LimitResult:
        """Count the token against all limits, or against none: on one server by one script."""
        if not limit_checks:
            return LimitResult()
        named = token or secrets.token_hex(8)
        if not self._connection.topology.one_server:
            return self._one_by_one(limit_checks, named, now)
        answers, elsewhere = self._counted(limit_checks, named, now)
        return self.result(limit_checks, answers, now, elsewhere)

    def step(
        self,
        limit_checks: Sequence[LimitCheck],
        token: str,
        now: datetime,
        elsewhere: Sequence[Elsewhere] = (),
    ) -> Step:
        """Return the step that counts the token against all limits on one server.

        ``elsewhere``: for each limit, the uses that count under other peppers; empty without another pepper.
        """
        now_ms = milliseconds(now)
        args: list[Arg] = [now_ms, _member(token)]
        for index, each in enumerate(limit_checks):
            used = elsewhere[index][0] if elsewhere else 0
            limit = each.limit
            period_ms = limit.period_seconds * 1000
            args += [now_ms - period_ms, period_ms, limit.count - used, int(limit.mode is Mode.ENFORCE)]
        return Step(_SPENDS, [self._keys.limit(each) for each in limit_checks], args)

    def result(
        self,
        limit_checks: Sequence[LimitCheck],
        answers: Sequence[Any],
        now: datetime,
        elsewhere: Sequence[Elsewhere] = (),
    ) -> LimitResult:
        """Turn the answer of a step into the state of each limit. If a limit refused, the answer ends with it."""
        states, exceeded = [], []
        for index, (counted, used, oldest, ahead) in enumerate(answers):
            more, first = elsewhere[index] if elsewhere else (0, None)
            for _ in range(ahead):
                self._connection.unreadable("limits", ValueError())
            oldest_ms = min((float(moment) for moment in (oldest, first) if moment), default=None)
            state = _state(limit_checks[index], int(used) + more, oldest_ms, milliseconds(now))
            states.append(state)
            if not counted:
                exceeded.append(state)
        return LimitResult(tuple(states), tuple(exceeded))

    def _counted(
        self, limit_checks: Sequence[LimitCheck], token: str, now: datetime
    ) -> tuple[list[Any], list[Elsewhere]]:
        with self._connection.using("spend") as client:
            elsewhere = [self._elsewhere(client, each, milliseconds(now)) for each in limit_checks]
            step = self.step(limit_checks, token, now, elsewhere)
            return step.script.run(client, step.keys, step.args), elsewhere

    def _one_by_one(self, limit_checks: Sequence[LimitCheck], token: str, now: datetime) -> LimitResult:
        """Count limit by limit, because on a cluster a script cannot touch two of them. Give all back if one refuses."""
        answers: list[Any] = []
        elsewhere: list[Elsewhere] = []
        for index, each in enumerate(limit_checks):
            counted, used = self._counted([each], token, now)
            answers += counted
            elsewhere += used
            if each.limit.mode is Mode.ENFORCE and not answers[-1][0]:
                self.give_back(limit_checks[:index], token)
                counts = self.result(limit_checks, answers, now, elsewhere)
                states = (
                    state if state in counts.exceeded else _without_one(state) for state in counts.states
                )
                return LimitResult(tuple(states), counts.exceeded)
        return self.result(limit_checks, answers, now, elsewhere)

    def give_back(self, limit_checks: Sequence[LimitCheck], token: str) -> None:
        """Remove the token from each limit."""
        for limit_check in limit_checks:
            with self._connection.using("give_back") as client:
                client.zrem(self._keys.limit(limit_check), _member(token))

    def uncount(self, limit_checks: Sequence[LimitCheck], token: str) -> list[Step]:
        """Return the steps that remove the token from each limit, under every pepper.

        Each limit needs a step of its own, because on a cluster their keys may lie on different servers.
        """
        return [
            Step(_UNCOUNT, [keys.limit(each)], [_member(token)])
            for each in limit_checks
            for keys in (self._keys, *self._keys.others)
        ]

    def seal(self, scope: Scope, subject: str) -> str:
        """Return the hash in the limit's Redis key, under the current pepper."""
        return self._keys.hash_of(scope, subject)

    def look(self, limit_checks: Sequence[LimitCheck], now: datetime) -> list[LimitState]:
        """Read the state of each limit, under every pepper."""
        with self._connection.using("look") as client:
            return [self._looked(client, limit_check, now) for limit_check in limit_checks]

    def clear(self, limit_checks: Sequence[LimitCheck]) -> None:
        """Delete the uses of each limit, under every pepper."""
        for limit_check in limit_checks:
            for keys in (self._keys, *self._keys.others):
                with self._connection.using("clear") as client:
                    client.delete(keys.limit(limit_check))

    def _looked(self, client: Any, limit_check: LimitCheck, now: datetime) -> LimitState:
        now_ms = milliseconds(now)
        used, oldest = _window(client, self._keys.limit(limit_check), limit_check, now_ms)
        elsewhere, oldest_elsewhere = self._elsewhere(client, limit_check, now_ms)
        first = min((each for each in (oldest, oldest_elsewhere) if each), default=None)
        return _state(limit_check, used + elsewhere, first, now_ms)

    def _elsewhere(self, client: Any, limit_check: LimitCheck, now_ms: int) -> Elsewhere:
        """Read the uses under the other peppers, so that a rotation resets no limit."""
        used, first = 0, None
        if limit_check.seal is not None:
            # A seal names a single key, no matter which pepper made it.
            return used, first
        for keys in self._keys.others:
            more, oldest = _window(client, keys.limit(limit_check), limit_check, now_ms)
            used += more
            first = min((each for each in (first, oldest) if each), default=None)
        return used, first


class RedisConversionCounts:
    """ConversionCounts over Redis. Each group has one hash."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def step(self, count: ConversionCount) -> Step:
        """Return the step that counts one verification."""
        budget, bucket = count.budget, count.budget.bucket_of(count.shown_at)
        keep = 2 * budget.window_seconds + budget.bucket_seconds
        field = f"{'c' if count.called else 's'}:{bucket}"
        return Step(
            _COUNT_CONVERSION,
            [self._keys.conversion(budget, count.subject)],
            [field, bucket - keep, keep * 1000, _MOST_FIELDS],
        )

    def buckets(self, budget: ConversionBudget, subject: str) -> list[Bucket]:
        """Read all buckets of a group."""
        key = self._keys.conversion(budget, subject)
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
            client.delete(self._keys.conversion(budget, subject))


def _member(token: str) -> str:
    """Return the end of a token. For members of over 64 bytes Redis needs six times the memory.

    The end of a verification id still has 96 random bits.
    """
    return token[-24:]


def _window(client: Any, key: str, limit_check: LimitCheck, now_ms: int) -> tuple[int, float | None]:
    since = f"({now_ms - limit_check.limit.period_seconds * 1000}"
    used = int(client.zcount(key, since, "+inf"))
    oldest = client.zrange(key, since, "+inf", byscore=True, offset=0, num=1, withscores=True) if used else []
    return used, float(oldest[0][1]) if oldest else None


def _state(limit_check: LimitCheck, used: int, oldest_ms: float | None, now_ms: int) -> LimitState:
    reset = 0
    if oldest_ms is not None and isfinite(oldest_ms):
        period = limit_check.limit.period_seconds
        # Another process may have counted with a clock that is slightly ahead of ours.
        reset = min(max(ceil((oldest_ms + period * 1000 - now_ms) / 1000), 1), period)
    return LimitState(limit_check.scope, limit_check.limit, used, reset)


def _without_one(state: LimitState) -> LimitState:
    """Return the state after the newest use was given back. The oldest use stays the same, if there is another."""
    return replace(state, used=state.used - 1, reset_seconds=state.reset_seconds if state.used > 1 else 0)
