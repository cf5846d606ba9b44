"""The audit stream: eight Redis streams of limited length and age, which are read as one."""

import heapq
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count

from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.keys import AUDIT, AUDIT_PARTS, DELIVERIES, Keys, milliseconds
from waitcall.adapters.redis.script import Arg, Script, Step
from waitcall.application.effects import Announcement, AuditEntry, Delivery
from waitcall.domain.numbers import earlier_forms, subscriber_of
from waitcall.domain.policy import Audit

_PAGE = 500
_ENTRIES_BETWEEN_CUTS = 64
"""Entries that one process appends between two trims of the stream's length."""
_CLOCKS_APART = timedelta(minutes=10)
DELIVERIES_KEPT_MS = 7 * 86_400_000
_MOST_WAITING = 200_000
"""Approximate number of deliveries after which the oldest are dropped. Redis must not fill up because no worker runs."""
AUDIT_SCRIPT = Script("audit")


class RedisAuditLog:
    """AuditLog over Redis Streams. It keeps only keyed hashes of numbers and verification ids."""

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        bounds: Audit,
        tell: Callable[[AuditEntry], None] | None = None,
    ) -> None:
        """``tell``: called with each entry that was stored, to log it."""
        self.tell = tell or (lambda _: None)
        self._connection = connection
        self._keys = keys
        self._bounds = bounds
        self._entries = count()

    def append(self, entry: AuditEntry) -> None:
        """Append an entry to the part that holds the other entries of its number."""
        self._connection.run("audit", self.step(entry, None))
        self.tell(entry)

    def step(self, entry: AuditEntry, announcement: Announcement | None) -> Step:
        """Return the step that appends an entry and stores its announcement, if any: both or neither."""
        fields = dict(entry.details or {}) | {
            "at": _text(entry.at),
            "event": entry.event,
            "actor": entry.actor,
        }
        if entry.phone_number is not None:
            fields["number_hash"] = self._keys.audited(subscriber_of(entry.phone_number))
        if entry.verification_id is not None:
            fields["verification_hash"] = self._keys.hash_of("audit-verification", entry.verification_id)
        oldest = entry.at - timedelta(seconds=self._bounds.retention_seconds)
        # XADD takes one bound, and age is it. Length is trimmed now and then, as it is approximate anyway: Redis removes
        # whole nodes of a hundred entries.
        cut = next(self._entries) % _ENTRIES_BETWEEN_CUTS == 0
        args: list[Arg] = [
            max(self._bounds.max_entries // AUDIT_PARTS, 1) if cut else "",
            f"{max(milliseconds(oldest), 0)}-0",
            self._bounds.retention_seconds * 1000,
        ]
        if entry.phone_number is not None:
            keys, announced = announcing(self._keys, entry.phone_number, announcement)
        else:
            keys, announced = [self._keys.audit(self._keys.hash_of("audit", entry.actor))] * 3, [0, 0, 0, 0]
        args += announced
        args += [word for pair in fields.items() for word in pair]
        return Step(AUDIT_SCRIPT, keys, args)

    def read(
        self, since: datetime, until: datetime, number: str | None = None
    ) -> Iterator[Mapping[str, str]]:
        """Merge the parts by time. Entries that cannot be read are counted and left out."""
        first, last = _text(since), _text(until)
        forms = (subscriber_of(number), *earlier_forms(number)) if number else ()
        peppers = (self._keys, *self._keys.others)
        hashes = {keys.audited(form) for keys in peppers for form in forms} if number else None
        parts = [self._read(part, since, until) for part in AUDIT]
        for fields in heapq.merge(*parts, key=lambda each: each["at"]):
            if first <= fields["at"] <= last and (hashes is None or fields.get("number_hash") in hashes):
                yield fields

    def _read(self, part: str, since: datetime, until: datetime) -> Iterator[dict[str, str]]:
        # The ids of entries come from Redis's clock, which may differ from ours.
        start = str(max(milliseconds(since - _CLOCKS_APART), 0))
        end = str(milliseconds(until + _CLOCKS_APART))
        while True:
            with self._connection.using("audit") as client:
                page = client.xrange(part, start, end, count=_PAGE)
            for _, fields in page:
                if (entry := self._entry(fields)) is not None:
                    yield entry
            if len(page) < _PAGE:
                return
            start = f"({page[-1][0].decode()}"

    def _entry(self, fields: Mapping[bytes, bytes]) -> dict[str, str] | None:
        try:
            entry = {name.decode(): value.decode() for name, value in fields.items()}
            _ = [entry[name] for name in ("at", "event", "actor")]
        except (UnicodeDecodeError, KeyError) as error:
            self._connection.unreadable("audit", error)
            return None
        return entry


def announcing(keys: Keys, number: str, announcement: Announcement | None) -> tuple[list[str], list[Arg]]:
    """Return the keys and arguments of ``audit.lua`` that store an announcement; None for no announcement."""
    part = keys.audit_part(number)
    streams = [AUDIT[part], DELIVERIES[part]]
    if announcement is None:
        return [*streams, streams[1]], [0, 0, 0, 0]
    deliveries = [written(each) for each in announcement.deliveries]
    mark = keys.announced(part, announcement.event_id)
    most, kept_ms = _MOST_WAITING // AUDIT_PARTS, announcement.keep_seconds * 1000
    return [*streams, mark], [len(deliveries), DELIVERIES_KEPT_MS, most, kept_ms, *deliveries]


def written(delivery: Delivery) -> str:
    """Return the form in which a delivery is stored."""
    return json.dumps([delivery.event_id, delivery.endpoint, delivery.attempt, delivery.body])


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).isoformat(timespec='milliseconds')[:-6]}Z"
