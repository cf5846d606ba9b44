"""The records in Redis. Every change is compare-and-set on the whole document."""

import dataclasses
import secrets
from datetime import datetime, timedelta
from functools import lru_cache

from service.adapters.redis.codec import decode, encode
from service.adapters.redis.connection import Connection
from service.adapters.redis.durable import Durable
from service.adapters.redis.keys import Keys, tag_of
from service.adapters.redis.script import Script
from service.adapters.redis.watcher import Watcher
from service.application.ports import Claim, Stored
from service.domain.call import InboundCall
from service.domain.numbers import E164
from service.domain.status import FINISHED, Status
from service.domain.verification import Verification

_PADDING_MS = 10_000
"""Redis deletes a little later than the rules forget, so that its clock decides nothing."""

_DUE_KEPT_MS = 3 * 86_400_000
"""Longer than any deadline is away: a result may wait a day."""
_MOST_DUE = 100
_LIVE = (Status.ORDERING, Status.PENDING, Status.CONTESTED)


class RedisVerificationStore:
    """VerificationStore over Redis, standalone or cluster."""

    def __init__(self, connection: Connection, keys: Keys, watcher: Watcher, min_replicas: int = 0) -> None:
        """
        Args:
            connection: to the server or cluster.
            keys: key names under the current pepper.
            watcher: where waiting requests wait.
            min_replicas: that must have a verified or consumed record before it is acknowledged.
        """
        self._durable = Durable(min_replicas)
        self._at_once = Durable(0)
        self._connection = connection
        self._keys = keys
        self._watcher = watcher
        self._reserve = Script("reserve")
        self._release = Script("release")
        self._replace = Script("replace")
        self._claim = Script("claim")
        self._schedule = Script("schedule")
        self._swap = Script("swap")

    def new_id(self, number: E164) -> str:
        """A fresh id that begins with the number's tag."""
        return self._keys.new_id(number.value)

    def get(self, verification_id: str) -> Stored | None:
        """The record of an id."""
        key = self._keys.record(verification_id)
        if key is None:
            return None
        with self._connection.using("get") as client:
            document = client.get(key)
        return _stored(document)

    def latest_of(self, number: str) -> Stored | None:
        """The number's latest record, under whichever pepper; a live one before all."""
        stored, pointer = self._latest(self._keys, number)
        found = [stored] + [self._latest(keys, number)[0] for keys in self._keys.others]
        latest = max(
            (each for each in found if each is not None),
            key=lambda each: (each.verification.status not in FINISHED, each.verification.created_at),
            default=None,
        )
        return dataclasses.replace(latest, pointer=pointer) if latest else None

    def reserve(self, verification: Verification, over: Stored | None, now: datetime) -> Stored | None:
        """Take the number for a new record."""
        document, tag = encode(verification), tag_of(verification.id)
        keys = [self._keys.latest(tag), self._record_key(verification)]
        args: list[str | bytes | int] = [
            over.pointer if over else "",
            verification.id,
            document,
            _keep_ms(verification, now),
        ]
        with self._connection.using("reserve") as client:
            reserved = self._reserve.run(client, keys, args)
        if not reserved:
            return None
        stored = Stored(verification, document, verification.id)
        if self._taken_elsewhere(verification, over, now):
            self.release(stored, over, now)
            return None
        return stored

    def release(self, stored: Stored, over: Stored | None, now: datetime) -> None:
        """Give the number back."""
        record = stored.verification
        args: list[str | bytes | int] = [
            record.id,
            over.pointer if over else "",
            _keep_ms(over.verification, now) if over else 0,
        ]
        keys = [self._keys.latest(tag_of(record.id)), self._record_key(record)]
        with self._connection.using("release") as client:
            self._release.run(client, keys, args)

    def replace(
        self,
        stored: Stored,
        verification: Verification,
        now: datetime,
        *,
        holding: bool = False,
    ) -> Stored | None:
        """Store a changed record."""
        # A number that was shown will be called, and a proof acted upon; whatever else is lost fails closed.
        promised = holding or verification.status is Status.CONSUMED
        how = self._durable if promised else self._at_once
        return self._put(how, stored, verification, now, holding=holding)

    def _put(
        self, how: Durable, stored: Stored, verification: Verification, now: datetime, *, holding: bool
    ) -> Stored | None:
        document = encode(verification)
        keys = [self._record_key(verification), self._keys.latest(tag_of(verification.id))]
        args: list[str | bytes | int] = [
            stored.version,
            document,
            _keep_ms(verification, now),
            verification.id,
            int(holding),
        ]
        with self._connection.using("replace") as client:
            replaced = how.run(client, self._replace, keys, args)
        return dataclasses.replace(stored, verification=verification, version=document) if replaced else None

    def confirm(self, stored: Stored, now: datetime) -> bool:
        """Store it once more, so that the WAIT behind it covers this very record."""
        if not self._durable.asks:
            return True
        return self._put(self._durable, stored, stored.verification, now, holding=False) is not None

    def claim(
        self,
        call: InboundCall,
        keep_until: datetime,
        change: tuple[Stored, Verification] | None,
        now: datetime,
    ) -> Claim:
        """Use a call and store what it changes."""
        tags = [keys.tag(call.cli) for keys in (self._keys, *self._keys.others)]
        # The mark lies with the record, so that both change together or neither does.
        tag = tag_of(change[0].verification.id) if change else tags[0]
        for other in set(tags) - {tag}:
            with self._connection.using("claim") as client:
                if client.exists(self._keys.call(other, call.at)):
                    return Claim.REPEATED
        latest, mark = self._keys.latest(tag), self._keys.call(tag, call.at)
        use: list[str | bytes | int] = [secrets.token_hex(8), _milliseconds(keep_until, now)]
        if change is None:
            keys = [mark, latest, latest]
            use += ["", "", 0, ""]
        else:
            stored, after = change
            keys = [mark, self._record_key(after), latest]
            use += [stored.version, encode(after), _keep_ms(after, now), after.id]
        with self._connection.using("claim") as client:
            answer = self._durable.run(client, self._claim, keys, use)
        return Claim(answer.decode())

    def use_of(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        """Look for the marks of every second, under each pepper."""
        most = int(within.total_seconds())
        seconds = sorted(range(-most, most + 1), key=abs)
        around = [dataclasses.replace(call, at=call.at + timedelta(seconds=each)) for each in seconds]
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

    def wait_for_change(self, stored: Stored, seconds: float) -> bool:
        """Wait with all other waiting requests of this process, in one place."""
        return self._watcher.wait(self._record_key(stored.verification), stored.version, seconds)

    def schedule(self, verification_id: str, at: datetime) -> None:
        """Put the deadline among the others."""
        args: list[str | bytes | int] = [int(at.timestamp() * 1000), verification_id, _DUE_KEPT_MS]
        with self._connection.using("schedule") as client:
            self._schedule.run(client, [self._keys.due(verification_id)], args)

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

    def unschedule(self, verification_id: str) -> None:
        """Take the deadline out."""
        with self._connection.using("unschedule") as client:
            client.zrem(self._keys.due(verification_id), verification_id)

    def ping(self) -> None:
        """One round trip."""
        with self._connection.using("ping") as client:
            client.get(self._keys.latest(self._keys.tag("readiness")))

    def _latest(self, keys: Keys, number: str) -> tuple[Stored | None, str]:
        """The latest record under one pepper, and the id that the number points to there."""
        key = keys.latest(keys.tag(number))
        with self._connection.using("latest_of") as client:
            latest = client.get(key)
        if latest is None:
            return None, ""
        stored = self.get(latest.decode())
        if stored is None:
            # Only a lost record leaves its pointer behind; the number must not stay taken by nobody.
            with self._connection.using("latest_of") as client:
                self._swap.run(client, [key], [latest, "", 0])
            return None, ""
        # Equal tags of two numbers are as good as impossible; a wrong match is worth the comparison.
        return (stored if stored.verification.phone_number.value == number else None), latest.decode()

    def _taken_elsewhere(self, verification: Verification, over: Stored | None, now: datetime) -> bool:
        """Whether somebody reserved the number under another pepper meanwhile.

        Each side writes its own reservation before it looks at the other's, so at least one of two sees it.
        """
        for keys in self._keys.others:
            stored, _ = self._latest(keys, verification.phone_number.value)
            known = over is not None and stored is not None and stored.verification.id == over.verification.id
            if stored and not known and stored.verification.at(now).status in _LIVE:
                return True
        return False

    def _record_key(self, verification: Verification) -> str:
        tag_of(verification.id)
        return str(self._keys.record(verification.id))


def _stored(document: bytes | None) -> Stored | None:
    return None if document is None else Stored(_decoded(document), document)


_decoded = lru_cache(maxsize=1024)(decode)
"""No two writes are equal (codec), so what was decoded once stays true: a record is often read again as it stood."""


def _keep_ms(verification: Verification, now: datetime) -> int:
    return _milliseconds(verification.purge_at, now)


def _milliseconds(until: datetime, now: datetime) -> int:
    return max(int((until - now).total_seconds() * 1000), 0) + _PADDING_MS
