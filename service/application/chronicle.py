"""What a transition writes beside the record: its entry in the audit stream, its announcement, what it counts.

The store writes it in the same step where one server has everything, else right behind the change (docs/adr/0021).
Lost, it takes the change back from nobody: the loss is counted under ``redis_errors_total``, the log has the same event,
and the sweep announces it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from service.application.announcement import Announcement, Announcer
from service.application.audit import AuditEntry
from service.application.context import request_id
from service.domain.channel import Channel
from service.domain.conversion import Budget
from service.domain.event import events_of
from service.domain.limits import Limit, Scope, Spending
from service.domain.status import FINISHED, Reason, Status
from service.domain.verification import Verification

_LATE = (Reason.LATE_CALL, Reason.LATE_TEXT)
_DIGITS = re.compile(r"[0-9]{7}")


@dataclass(frozen=True, slots=True)
class Tally:
    """A number of this group was shown at ``shown_at``, or the one that was shown then was called."""

    budget: Budget
    subject: str = field(repr=False)
    shown_at: datetime
    called: bool


@dataclass(frozen=True, slots=True)
class Consequences:
    """What is written where a change happens.

    Attributes:
        entries: of the audit stream, each with what it announces.
        tallies: for the conversion guard.
        due: when the sweep is to look at the record; None to leave that as it is.
        freed: what the record was counted against under its id, and is no longer.
    """

    entries: tuple[tuple[AuditEntry, Announcement | None], ...] = ()
    tallies: tuple[Tally, ...] = ()
    due: datetime | None = None
    freed: tuple[Spending, ...] = ()


NOTHING = Consequences()

LOOKED_AFTER = timedelta(seconds=5)
"""A verified one is looked at by the sweep after this: has it been announced?"""


class Chronicle:
    """Transition → consequences."""

    def __init__(self, announcer: Announcer, budgets: Sequence[Budget], totals: Sequence[Limit] = ()) -> None:
        """``totals``: limits of a number alone, which what nobody called is given back to."""
        self._announcer = announcer
        self._budgets = budgets
        self._totals = totals

    def started(self, record: Verification, now: datetime) -> Consequences:
        """A number was shown."""
        entries = [self._entry("started", f"client:{record.requester.client}", record, now)]
        if record.code is not None:
            entries.append(self._of_code("code_sent", record, now))
        if record.status is Status.CONTESTED:
            entries.append(self._contested(record, now))
        return Consequences(tuple(entries), self._tallies(record, called=False))

    def changed(self, before: Verification, after: Verification, now: datetime) -> Consequences:
        """A record was verified, contested, finished, or moved on its way; anything else has none."""
        if after.status in FINISHED and before.status not in FINISHED:
            entry = self._entry(after.status, _who_finished(after), after, now)
            return Consequences((entry,), freed=self._freed(after))
        if after.verified_at is not None and before.verified_at is None:
            by_code = after.reason is Reason.CODE_MATCHED
            actor = f"client:{after.requester.client}" if by_code else "provider"
            entry = self._entry(Status.VERIFIED, actor, after, now)
            # Soon, so that it is announced soon should we die before that; the sweep then puts it off.
            due = min(now + LOOKED_AFTER, after.result_until or now)
            tallies = () if after.called_at else self._tallies(after, called=True)
            return Consequences((entry,), tallies, due)
        if after.status is Status.CONTESTED and before.status is not Status.CONTESTED:
            return Consequences((self._contested(after, now),))
        return self._on_the_way(before, after, now)

    def _freed(self, record: Verification) -> tuple[Spending, ...]:
        """The number alone pays only for what its holder did: strangers start, cancel and let expire at will."""
        if record.verified_at or record.called_at or record.reason in _LATE:
            return ()
        number = record.phone_number.value
        return tuple(Spending(Scope.NUMBER_TOTAL, number, limit) for limit in self._totals)

    def _on_the_way(self, before: Verification, after: Verification, now: datetime) -> Consequences:
        entries: list[tuple[AuditEntry, Announcement | None]] = []
        tallies: tuple[Tally, ...] = ()
        if after.called_at is not None and before.called_at is None:
            entries.append(self._entry("first_step", "provider", after, now))
            tallies = self._tallies(after, called=True)
        elif after.channel is not before.channel:
            entries.append(self._entry("fallback", f"client:{after.requester.client}", after, now))
        code, earlier = after.code, before.code
        if code is not None and (earlier is None or len(code.digests) > len(earlier.digests)):
            entries.append(self._of_code("code_sent", after, now))
        if code is not None and code.refused and not (earlier and earlier.refused):
            entries.append(self._of_code("code_refused", after, now))
        # The sweep, due at the earlier window's end, puts itself off.
        return Consequences(tuple(entries), tallies)

    def _of_code(
        self, event: str, record: Verification, now: datetime
    ) -> tuple[AuditEntry, Announcement | None]:
        entry, told = self._entry(event, f"client:{record.requester.client}", record, now)
        # What the provider's own reports name a message by.
        message_id = str(record.code.message_id) if record.code else ""
        return replace(entry, details=dict(entry.details or {}) | {"message_id": message_id}), told

    def _contested(self, record: Verification, now: datetime) -> tuple[AuditEntry, Announcement | None]:
        return self._entry(Status.CONTESTED, "another requester", record, now)

    def _tallies(self, record: Verification, *, called: bool) -> tuple[Tally, ...]:
        return tuple(
            Tally(budget, budget.subject(record.phone_number, record.region), record.created_at, called)
            for budget in self._budgets
        )

    def _entry(
        self, event: str, actor: str, record: Verification, now: datetime
    ) -> tuple[AuditEntry, Announcement | None]:
        details = {
            "client": record.requester.client,
            "purpose": record.requester.purpose,
            "region": record.region,
            "assurance": record.assurance.value,
        }
        if record.channel is not Channel.CALL:
            details["channel"] = record.channel.value
        if record.reason is not None:
            details["reason"] = record.reason.value
        current = request_id.get()
        # A caller's own id may be anything that fits, a number too.
        if current and not _DIGITS.search(current):
            details["request_id"] = current
        entry = AuditEntry(
            now,
            str(event),
            actor,
            phone_number=record.phone_number.value,
            verification_id=record.id,
            details=details,
        )
        if not self._announcer.listens(record.requester.client):
            return entry, None
        told = [each for each in events_of(record, now) if each.type.status == event]
        return entry, self._announcer.of(told[0], now) if told else None


def _who_finished(record: Verification) -> str:
    client = f"client:{record.requester.client}"
    if record.reason is Reason.ATTEMPTS_SPENT:
        return client
    return {
        Status.CONSUMED: client,
        Status.CANCELED: "operator" if record.reason is Reason.BY_OPERATOR else client,
        Status.FAILED: "provider",
    }.get(record.status, "provider" if record.reason in _LATE else "time")
