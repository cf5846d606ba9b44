"""Events that webhooks deliver: one for each outcome of a verification, derived from its record alone."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from waitcall.domain.channel import Channel
from waitcall.domain.status import FINISHED, Reason, Status
from waitcall.domain.verification import Verification

_MATCHED = {
    Channel.CALL: Reason.CALL_MATCHED,
    Channel.TEXT_IN: Reason.TEXT_MATCHED,
    Channel.CODE: Reason.CODE_MATCHED,
}


class EventType(StrEnum):
    """Type of a webhook event; the set is closed."""

    VERIFIED = "verification.verified"
    CONSUMED = "verification.consumed"
    EXPIRED = "verification.expired"
    FAILED = "verification.failed"
    CANCELED = "verification.canceled"
    CONTESTED = "verification.contested"
    LAPSED = "verification.lapsed"

    @property
    def status(self) -> Status:
        """Status that the verification reached."""
        return Status(self.value.partition(".")[2])


@dataclass(frozen=True, slots=True)
class Event:
    """Outcome of a verification, as webhooks report it. A verification has at most one event of each type.

    Attributes:
        at: when the outcome was reached, UTC; for ``canceled`` and ``failed`` when the event was made.
    """

    type: EventType
    verification: Verification
    at: datetime

    @property
    def id(self) -> str:
        """Id of the event. It depends on the verification and the type only, so each delivery has the same id."""
        name = f"{self.verification.id} {self.type}"
        return f"evt_{hashlib.sha256(name.encode()).hexdigest()[:40]}"

    @property
    def reason(self) -> Reason | None:
        """Reason that the record had when it reached this outcome."""
        match self.type:
            case EventType.VERIFIED | EventType.CONSUMED:
                return _MATCHED[self.verification.channel]
            case EventType.CONTESTED:
                return Reason.CONCURRENT_REQUEST
            case _:
                return self.verification.reason


def events_of(record: Verification, now: datetime) -> tuple[Event, ...]:
    """Return the events of all outcomes that the record has reached, oldest first."""
    events = []
    if record.contested_at is not None:
        events.append(Event(EventType.CONTESTED, record, record.contested_at))
    if record.verified_at is not None:
        events.append(Event(EventType.VERIFIED, record, record.verified_at))
    if record.status in FINISHED:
        at = {
            Status.CONSUMED: record.consumed_at,
            Status.LAPSED: record.result_until,
            Status.EXPIRED: record.expires_at,
        }.get(record.status)
        events.append(Event(EventType(f"verification.{record.status}"), record, at or now))
    return tuple(events)
