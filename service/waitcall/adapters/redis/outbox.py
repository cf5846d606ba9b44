"""Outbox of deliveries: eight Redis Streams with one consumer group, beside the parts of the audit stream."""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from redis.exceptions import ResponseError

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import AUDIT_PARTS, Keys
from waitcall.adapters.redis.script import Script
from waitcall.application.deliver_webhooks import Backlog, Taken
from waitcall.application.effects import Announcement, Delivery

GROUP = "push"
TAKEN_OVER_AFTER_MS = 30_000
"""A delivery that is not settled after this time is taken over, because an attempt takes less: its worker has died."""
_KEPT_MS = 7 * 86_400_000
_MOST_WAITING = 200_000
"""Approximate number of deliveries after which the oldest are dropped. Redis must not fill up because no worker runs."""
_MOST_DEAD = 80_000
_MOST_WOKEN = 100
_DROPPED = 2

_log = logging.getLogger(__name__)

Args = list[str | bytes | int]


def announcing(keys: Keys, number: str, announcement: Announcement | None) -> tuple[list[str], Args]:
    """Return the keys and arguments of ``audit.lua`` that store an announcement; None for no announcement."""
    part = keys.audit_part(number)
    streams = [keys.all_audit()[part], keys.all_deliveries()[part]]
    if announcement is None:
        return [*streams, streams[1]], [0, 0, 0, 0]
    deliveries = [_written(each) for each in announcement.deliveries]
    mark = keys.announced(part, announcement.event_id)
    most, kept_ms = _MOST_WAITING // AUDIT_PARTS, announcement.keep_seconds * 1000
    return [*streams, mark], [len(deliveries), _KEPT_MS, most, kept_ms, *deliveries]


class RedisOutbox:
    """Outbox over Redis. It delivers at least once, because an entry leaves its stream only when it is settled."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._audit = Script("audit")
        self._settle = Script("settle")
        self._wake = Script("wake")
        self._replay = Script("replay")
        self._parts = cycle(keys.all_deliveries())

    def announce(self, number: str, announcement: Announcement) -> None:
        """Run the audit stream's script without an audit entry."""
        keys, args = announcing(self._keys, number, announcement)
        with self._connection.using("announce") as client:
            self._audit.run(client, keys, [0, "0-0", 0, *args])

    def take(self, consumer: str, most: int) -> list[Taken]:
        """Take deliveries of dead workers, then new ones, in one pipeline. Where ``most`` is small, the parts take turns."""
        share = max(most // (2 * AUDIT_PARTS), 1)
        parts = [next(self._parts) for _ in range(min(most // (2 * share), AUDIT_PARTS))]
        if not parts:
            return []
        with self._connection.using("take") as client:
            pipeline = client.pipeline(transaction=False)
            for part in parts:
                pipeline.xautoclaim(part, GROUP, consumer, TAKEN_OVER_AFTER_MS, count=share)
            for part in parts:
                pipeline.xreadgroup(GROUP, consumer, {part: ">"}, count=share)
            answers = pipeline.execute(raise_on_error=False)
            self._make_groups(client, parts, answers[: len(parts)])
        found: list[Taken] = []
        for part, claimed in zip(parts, answers[: len(parts)], strict=True):
            if not isinstance(claimed, Exception):
                found += self._taken(part, claimed[1])
        for answer in answers[len(parts) :]:
            if not isinstance(answer, Exception):
                for part, entries in answer:
                    found += self._taken(part.decode(), entries)
        return found

    def _taken(self, part: str, entries: Sequence[Any]) -> list[Taken]:
        found: list[Taken] = []
        for entry, fields in entries:
            # An entry that was trimmed away is still listed, without fields.
            if not fields:
                continue
            written, receipt = fields.get(b"d", b""), (part, entry.decode())
            if delivery := self._read(written, "deliveries"):
                found.append(Taken(delivery, receipt))
            else:
                # Move it to the dead letters, where it blocks nothing and another version may be able to read it.
                self._settled(receipt, written, "", f"unreadable {receipt[1]}")
        return found

    def arrived(self, taken: Taken) -> None:
        """Remove the entry from the stream."""
        self._settled(taken.receipt, "", "", _name_of(taken.delivery))

    def defer(self, taken: Taken, delivery: Delivery, until: datetime) -> None:
        """Move the entry from the stream to the retries."""
        self._settled(taken.receipt, _written(delivery), str(_ms(until)), _name_of(delivery))

    def bury(self, taken: Taken, delivery: Delivery) -> None:
        """Move the entry from the stream to the dead letters, or drop it if its part of them is full."""
        self._settled(taken.receipt, _written(delivery), "", _name_of(delivery))

    def wake(self, now: datetime) -> int:
        """Move deliveries whose time has come from the retries back to the streams, part by part."""
        woken = 0
        for retries, part in zip(self._keys.all_retries(), self._keys.all_deliveries(), strict=True):
            with self._connection.using("wake") as client:
                woken += int(self._wake.run(client, [retries, part], [_ms(now), _MOST_WOKEN, _KEPT_MS]))
        return woken

    def backlog(self) -> Backlog:
        """Read the lengths of all parts, and the oldest entry's time, in one pipeline."""
        deliveries, retries = self._keys.all_deliveries(), self._keys.all_retries()
        with self._connection.using("backlog") as client:
            pipeline = client.pipeline(transaction=False)
            for key in deliveries:
                pipeline.xlen(key)
            for key in retries:
                pipeline.zcard(key)
            for key in self._keys.all_dead():
                pipeline.hlen(key)
            for key in deliveries:
                pipeline.xrange(key, count=1)
            counts = pipeline.execute()
        parts = [counts[at : at + AUDIT_PARTS] for at in range(0, len(counts), AUDIT_PARTS)]
        ids = [entries[0][0] for entries in parts[3] if entries]
        oldest = min((int(each.split(b"-")[0]) for each in ids), default=None)
        at = datetime.fromtimestamp(oldest / 1000, UTC) if oldest is not None else None
        return Backlog(sum(parts[0]), sum(parts[1]), sum(parts[2]), at)

    def dead(self) -> Iterator[Delivery]:
        """Read the dead letters of every part. Unreadable ones are counted and left out."""
        for key in self._keys.all_dead():
            with self._connection.using("dead") as client:
                letters = client.hvals(key)
            yield from (letter for each in letters if (letter := self._read(each, "dead_letters")))

    def replay(self, event_id: str, endpoint: str) -> bool:
        """Look for the dead letter in every part, and move it back to the stream with no attempt counted."""
        name = _name(event_id, endpoint)
        for dead, part in zip(self._keys.all_dead(), self._keys.all_deliveries(), strict=True):
            with self._connection.using("replay") as client:
                letter = client.hget(dead, name)
                if letter is None:
                    continue
                fresh = self._read(letter, "dead_letters")
                if fresh is None:
                    return False
                again = _written(Delivery(fresh.event_id, fresh.endpoint, fresh.body))
                return bool(self._replay.run(client, [dead, part], [name, again, _KEPT_MS]))
        return False

    def _settled(self, receipt: tuple[str, str], kept: str | bytes, retry_at: str, name: str) -> None:
        part, entry = receipt
        at = self._keys.all_deliveries().index(part)
        keys = [part, self._keys.all_retries()[at], self._keys.all_dead()[at]]
        args: Args = [GROUP, entry, _KEPT_MS, kept, retry_at, name, _MOST_DEAD // AUDIT_PARTS]
        with self._connection.using("settle") as client:
            if self._settle.run(client, keys, args) == _DROPPED:
                _log.error("dead letter dropped: there are too many", extra={"delivery": name})

    def _read(self, text: bytes, where: str) -> Delivery | None:
        try:
            event_id, endpoint, attempt, body = json.loads(text)
            return Delivery(str(event_id), str(endpoint), str(body), int(attempt))
        except Exception as error:  # noqa: BLE001  one unreadable delivery must not stop the others
            self._connection.unreadable(where, error)
            return None

    def _make_groups(self, client: Any, parts: Sequence[str], answers: Sequence[Any]) -> None:
        for part, answer in zip(parts, answers, strict=True):
            if not isinstance(answer, Exception):
                continue
            if "NOGROUP" not in str(answer):
                self._connection.skip("deliveries", answer)
                continue
            # The stream does not exist yet, or was deleted after a week without events.
            try:
                client.xgroup_create(part, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
            client.pexpire(part, _KEPT_MS)


def _written(delivery: Delivery) -> str:
    return json.dumps([delivery.event_id, delivery.endpoint, delivery.attempt, delivery.body])


def _name(event_id: str, endpoint: str) -> str:
    return f"{event_id} {endpoint}"


def _name_of(delivery: Delivery) -> str:
    return _name(delivery.event_id, delivery.endpoint)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
