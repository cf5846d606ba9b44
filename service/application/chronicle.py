"""What a transition writes beside the record: its entry in the audit stream, its announcement, what it counts.

The store writes it in the same step where one server has everything, else right behind the change (docs/adr/0021).
Lost, it takes the change back from nobody: the loss is counted under ``redis_errors_total``, the log has the same event,
and the sweep announces it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.application.announcement import Announcement, Announcer
from service.application.audit import AuditEntry
from service.application.context import request_id
from service.domain.conversion import Budget
from service.domain.event import events_of
from service.domain.status import FINISHED, Reason, Status
from service.domain.verification import Verification

_DIGITS = re.compile(r"[0-9]{7}")


@dataclass(frozen=True, slots=True)
class Tally:
    """A number of this group was shown at ``shown_at``, or the one that was shown then was called."""

    budget: Budget
    subject: str
    shown_at: datetime
    called: bool


@dataclass(frozen=True, slots=True)
class Consequences:
    """What is written where a change happens.

    Attributes:
        entries: of the audit stream, each with what it announces.
        tallies: for the conversion guard.
        due: when the sweep is to look at the record; None to leave that as it is.
    """

    entries: tuple[tuple[AuditEntry, Announcement | None], ...] = ()
    tallies: tuple[Tally, ...] = ()
    due: datetime | None = None


NOTHING = Consequences()


class Chronicle:
    """Transition → consequences."""

    def __init__(self, announcer: Announcer, budgets: Sequence[Budget]) -> None:
        self._announcer = announcer
        self._budgets = budgets

    def started(self, record: Verification, now: datetime) -> Consequences:
        """A number was shown."""
        entries = [self._entry("started", f"client:{record.requester.client}", record, now)]
        if record.status is Status.CONTESTED:
            entries.append(self._contested(record, now))
        return Consequences(tuple(entries), self._tallies(record, called=False))

    def changed(self, before: Verification, after: Verification, now: datetime) -> Consequences:
        """A record was verified, contested or finished; anything else has none."""
        if after.status in FINISHED and before.status not in FINISHED:
            return Consequences((self._entry(after.status, _who_finished(after), after, now),))
        if after.verified_at is not None and before.verified_at is None:
            entry = self._entry(Status.VERIFIED, "provider", after, now)
            return Consequences((entry,), self._tallies(after, called=True))
        if after.status is Status.CONTESTED and before.status is not Status.CONTESTED:
            return Consequences((self._contested(after, now),))
        return NOTHING

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
        told = [each for each in events_of(record, now) if each.type.status == event]
        return entry, self._announcer.of(told[0], now) if told else None


def _who_finished(record: Verification) -> str:
    client = f"client:{record.requester.client}"
    return {
        Status.CONSUMED: client,
        Status.CANCELED: "operator" if record.reason is Reason.BY_OPERATOR else client,
        Status.FAILED: "provider",
    }.get(record.status, "provider" if record.reason is Reason.LATE_CALL else "time")
