"""Outbox of deliveries: eight Redis Streams with one consumer group, in the slots of the audit stream's parts."""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from redis.exceptions import ResponseError

from waitcall.adapters.redis.audit import AUDIT_SCRIPT, DELIVERIES_KEPT_MS, announcing, written
from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import AUDIT_PARTS, DEAD, DELIVERIES, RETRIES, Keys, milliseconds
from waitcall.adapters.redis.script import Arg, Script, Step
from waitcall.application.deliver_webhooks import DeliveryBacklog, Taken
from waitcall.application.effects import Announcement, Delivery

GROUP = "push"
TAKEN_OVER_AFTER_MS = 30_000
"""A delivery that is not settled after this time is taken over, because an attempt takes less: its worker has died."""
_MOST_DEAD = 80_000
_MOST_WOKEN = 100
_DROPPED = 2
_SETTLE, _WAKE, _REPLAY = Script("settle"), Script("wake"), Script("replay")

_log = logging.getLogger(__name__)


class RedisOutbox:
    """Outbox over Redis. It delivers at least once, because an entry leaves its stream only when it is settled."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._parts = cycle(DELIVERIES)

    def announce(self, number: str, announcement: Announcement) -> None:
        """Run the audit stream's script without an audit entry."""
        keys, args = announcing(self._keys, number, announcement)
        self._connection.run("announce", Step(AUDIT_SCRIPT, keys, [0, "0-0", 0, *args]))

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
            document, receipt = fields.get(b"d", b""), (part, entry.decode())
            if delivery := self._read(document, "deliveries"):
                found.append(Taken(delivery, receipt))
            else:
                # Move it to the dead letters, where it blocks nothing and another version may be able to read it.
                self._settled(receipt, document, "", f"unreadable {receipt[1]}")
        return found

    def arrived(self, taken: Taken) -> None:
        """Remove the entry from the stream."""
        self._settled(taken.receipt, "", "", _name_of(taken.delivery))

    def defer(self, taken: Taken, delivery: Delivery, until: datetime) -> None:
        """Move the entry from the stream to the retries."""
        self._settled(taken.receipt, written(delivery), str(milliseconds(until)), _name_of(delivery))

    def bury(self, taken: Taken, delivery: Delivery) -> None:
        """Move the entry from the stream to the dead letters, or drop it if its part of them is full."""
        self._settled(taken.receipt, written(delivery), "", _name_of(delivery))

    def wake(self, now: datetime) -> int:
        """Move deliveries whose time has come from the retries back to the streams, part by part."""
        woken = 0
        args = [milliseconds(now), _MOST_WOKEN, DELIVERIES_KEPT_MS]
        for retries, part in zip(RETRIES, DELIVERIES, strict=True):
            woken += int(self._connection.run("wake", Step(_WAKE, [retries, part], args)))
        return woken

    def backlog(self) -> DeliveryBacklog:
        """Read the lengths of all parts, and the oldest entry's time, in one pipeline."""
        with self._connection.using("backlog") as client:
            pipeline = client.pipeline(transaction=False)
            for key in DELIVERIES:
                pipeline.xlen(key)
            for key in RETRIES:
                pipeline.zcard(key)
            for key in DEAD:
                pipeline.hlen(key)
            for key in DELIVERIES:
                pipeline.xrange(key, count=1)
            counts = pipeline.execute()
        parts = [counts[at : at + AUDIT_PARTS] for at in range(0, len(counts), AUDIT_PARTS)]
        ids = [entries[0][0] for entries in parts[3] if entries]
        oldest = min((int(each.split(b"-")[0]) for each in ids), default=None)
        at = datetime.fromtimestamp(oldest / 1000, UTC) if oldest is not None else None
        return DeliveryBacklog(sum(parts[0]), sum(parts[1]), sum(parts[2]), at)

    def dead(self) -> Iterator[Delivery]:
        """Read the dead letters of every part. Unreadable ones are counted and left out."""
        for key in DEAD:
            with self._connection.using("dead") as client:
                letters = client.hvals(key)
            yield from (letter for each in letters if (letter := self._read(each, "dead_letters")))

    def replay(self, event_id: str, endpoint: str) -> bool:
        """Look for the dead letter in every part, and move it back to the stream with no attempt counted."""
        name = _name(event_id, endpoint)
        for dead, part in zip(DEAD, DELIVERIES, strict=True):
            with self._connection.using("replay") as client:
                letter = client.hget(dead, name)
                if letter is None:
                    continue
                fresh = self._read(letter, "dead_letters")
                if fresh is None:
                    return False
                again = written(Delivery(fresh.event_id, fresh.endpoint, fresh.body))
                return bool(_REPLAY.run(client, [dead, part], [name, again, DELIVERIES_KEPT_MS]))
        return False

    def _settled(self, receipt: tuple[str, str], kept: str | bytes, retry_at: str, name: str) -> None:
        part, entry = receipt
        at = DELIVERIES.index(part)
        keys = [part, RETRIES[at], DEAD[at]]
        args: list[Arg] = [
            GROUP,
            entry,
            DELIVERIES_KEPT_MS,
            kept,
            retry_at,
            name,
            _MOST_DEAD // AUDIT_PARTS,
        ]
        if self._connection.run("settle", Step(_SETTLE, keys, args)) == _DROPPED:
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
            client.pexpire(part, DELIVERIES_KEPT_MS)


def _name(event_id: str, endpoint: str) -> str:
    return f"{event_id} {endpoint}"


def _name_of(delivery: Delivery) -> str:
    return _name(delivery.event_id, delivery.endpoint)
