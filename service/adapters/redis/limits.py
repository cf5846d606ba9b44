"""What was spent, as sliding periods in Redis: exact, and given back where nothing came of it."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from math import ceil
from typing import Any

from service.adapters.redis.connection import Connection
from service.adapters.redis.keys import Keys
from service.adapters.redis.script import Script
from service.domain.limits import LimitState, Mode, Spending, Spent


class RedisLimits:
    """Limits over Redis. Each limit is one key, counted atomically; a refusal gives the others back."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._spend = Script("spend")

    def spend(self, spendings: Sequence[Spending], token: str | None, now: datetime) -> Spent:
        """Count the token against all limits, or against none."""
        named = token or secrets.token_hex(8)
        states: list[LimitState] = []
        exceeded: list[LimitState] = []
        for index, spending in enumerate(spendings):
            counted, state = self._spend_one(spending, named, now)
            states.append(state)
            if counted:
                continue
            exceeded.append(state)
            if spending.limit.mode is Mode.ENFORCE:
                self.give_back(spendings[:index], named)
                counts = [state if state in exceeded else _without_one(state) for state in states]
                return Spent(tuple(counts), tuple(exceeded))
        return Spent(tuple(states), tuple(exceeded))

    def give_back(self, spendings: Sequence[Spending], token: str) -> None:
        """Uncount the token."""
        for spending in spendings:
            with self._connection.using("give_back") as client:
                client.zrem(_key(self._keys, spending), token)

    def look(self, spendings: Sequence[Spending], now: datetime) -> list[LimitState]:
        """How each limit stands."""
        with self._connection.using("look") as client:
            return [self._looked(client, spending, now) for spending in spendings]

    def clear(self, spendings: Sequence[Spending]) -> None:
        """Forget what was counted, under every pepper."""
        for spending in spendings:
            for keys in (self._keys, *self._keys.others):
                with self._connection.using("clear") as client:
                    client.delete(_key(keys, spending))

    def _spend_one(self, spending: Spending, token: str, now: datetime) -> tuple[bool, LimitState]:
        limit, now_ms = spending.limit, _ms(now)
        period_ms = limit.period_seconds * 1000
        with self._connection.using("spend") as client:
            elsewhere, oldest_elsewhere = self._elsewhere(client, spending, now_ms)
            args: list[str | bytes | int] = [
                now_ms,
                now_ms - period_ms,
                period_ms,
                limit.count - elsewhere,
                token,
            ]
            counted, used, oldest = self._spend.run(client, [_key(self._keys, spending)], args)
        first = min((float(each) for each in (oldest, oldest_elsewhere) if each), default=None)
        return bool(counted), _state(spending, int(used) + elsewhere, first, now_ms)

    def _looked(self, client: Any, spending: Spending, now: datetime) -> LimitState:
        now_ms = _ms(now)
        used, oldest = _window(client, _key(self._keys, spending), spending, now_ms)
        elsewhere, oldest_elsewhere = self._elsewhere(client, spending, now_ms)
        first = min((each for each in (oldest, oldest_elsewhere) if each), default=None)
        return _state(spending, used + elsewhere, first, now_ms)

    def _elsewhere(self, client: Any, spending: Spending, now_ms: int) -> tuple[int, float | None]:
        """What still counts under another pepper, so that a rotation resets no limit."""
        used, first = 0, None
        for keys in self._keys.others:
            more, oldest = _window(client, _key(keys, spending), spending, now_ms)
            used += more
            first = min((each for each in (first, oldest) if each), default=None)
        return used, first


def _key(keys: Keys, spending: Spending) -> str:
    limit = spending.limit
    return keys.limit(spending.scope, spending.subject, limit.count, limit.period_seconds)


def _window(client: Any, key: str, spending: Spending, now_ms: int) -> tuple[int, float | None]:
    since = f"({now_ms - spending.limit.period_seconds * 1000}"
    used = int(client.zcount(key, since, "+inf"))
    oldest = client.zrange(key, since, "+inf", byscore=True, offset=0, num=1, withscores=True) if used else []
    return used, float(oldest[0][1]) if oldest else None


def _state(spending: Spending, used: int, oldest_ms: float | None, now_ms: int) -> LimitState:
    reset = 0
    if oldest_ms is not None:
        reset = max(ceil((oldest_ms + spending.limit.period_seconds * 1000 - now_ms) / 1000), 1)
    return LimitState(spending.scope, spending.limit, used, reset)


def _without_one(state: LimitState) -> LimitState:
    """The newest use was given back; the oldest is another, where there is one."""
    return replace(state, used=state.used - 1, reset_seconds=state.reset_seconds if state.used > 1 else 0)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
