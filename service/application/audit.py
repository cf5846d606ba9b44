"""The audit stream: what stands in it, where it is kept, and who writes every transition into it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.application.announcement import Announcement, Announcer
from service.application.context import request_id
from service.application.ports import Clock
from service.domain.call import InboundCall, Kind, Outcome
from service.domain.conversion import Conversion
from service.domain.errors import StoreUnavailable
from service.domain.event import events_of
from service.domain.limits import Decision, Scope
from service.domain.status import Reason, Status
from service.domain.verification import Verification

_DIGITS = re.compile(r"[0-9]{7}")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that happened, for whoever must answer for it later.

    Attributes:
        event: a status that a verification reached, ``started``, or an operator's act.
        actor: ``client:NAME``, ``provider``, ``time``, or ``operator:NAME``.
        phone_number: kept as a keyed hash alone.
        verification_id: kept as a keyed hash alone.
        details: closed words and counts; ``reason`` where an operator gave one.
    """

    at: datetime
    event: str
    actor: str
    phone_number: str | None = None
    verification_id: str | None = None
    details: Mapping[str, str] | None = None


class AuditLog(Protocol):
    """An append-only stream with a bounded length and age."""

    def append(self, entry: AuditEntry, announcement: Announcement | None = None) -> None:
        """Keep the entry, and announce an event, both or neither. Raises StoreUnavailable when it may not be kept."""
        ...

    def read(
        self, since: datetime, until: datetime, number: str | None = None
    ) -> Iterator[Mapping[str, str]]:
        """What was kept, oldest first; of one number (E.164) where one is given. StoreUnavailable."""
        ...


class AuditingObserver:
    """Writes every transition into the audit stream, and announces it in the same step.

    A transition that has happened is not undone because its entry could not be kept: the loss is counted
    under ``redis_errors_total``, the log has the same event, and the sweep announces it.
    """

    def __init__(self, audit: AuditLog, announcer: Announcer, clock: Clock) -> None:
        self._audit = audit
        self._announcer = announcer
        self._clock = clock

    def started(self, verification: Verification) -> None:
        """A number was shown."""
        self._write("started", f"client:{verification.requester.client}", verification)

    def contested(self, verification: Verification) -> None:
        """Another requester asked for the number."""
        self._write(Status.CONTESTED, "another requester", verification)

    def verified(self, verification: Verification, call: InboundCall) -> None:  # noqa: ARG002  the port's
        """A call was matched."""
        self._write(Status.VERIFIED, "provider", verification)

    def finished(self, verification: Verification) -> None:
        """A record reached a final status."""
        client = f"client:{verification.requester.client}"
        actor = {
            Status.CONSUMED: client,
            Status.CANCELED: "operator" if verification.reason is Reason.BY_OPERATOR else client,
            Status.FAILED: "provider",
        }.get(verification.status, "provider" if verification.reason is Reason.LATE_CALL else "time")
        self._write(verification.status, actor, verification)

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """Not a transition."""

    def reconciled(self, outcome: Outcome | None) -> None:
        """Not a transition."""

    def refused(self, client: str, code: str) -> None:
        """Not a transition."""

    def limited(self, scope: Scope, decision: Decision) -> None:
        """Not a transition."""

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """Not a transition."""

    def _write(self, event: str, actor: str, verification: Verification) -> None:
        details = {
            "client": verification.requester.client,
            "purpose": verification.requester.purpose,
            "region": verification.region,
            "assurance": verification.assurance.value,
        }
        if verification.reason is not None:
            details["reason"] = verification.reason.value
        current = request_id.get()
        # A caller's own id may be anything that fits, a number too.
        if current and not _DIGITS.search(current):
            details["request_id"] = current
        entry = AuditEntry(
            self._clock(),
            str(event),
            actor,
            phone_number=verification.phone_number.value,
            verification_id=verification.id,
            details=details,
        )
        with suppress(StoreUnavailable):
            self._audit.append(entry, self._announcement(event, verification))

    def _announcement(self, event: str, verification: Verification) -> Announcement | None:
        now = self._clock()
        told = [each for each in events_of(verification, now) if each.type.status == event]
        return self._announcer.of(told[0], now) if told else None
