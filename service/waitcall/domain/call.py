"""Reported calls: who reports them, and what effect they had."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """Kind of a callback. ``unknown``: the callback's fields fit none of the other kinds."""

    CALL = "call"
    SMS = "sms"
    STATUS = "status"
    UNKNOWN = "unknown"


class Witness(StrEnum):
    """Source of the report that a number called. ``domain/evidence.py`` decides how much each can prove."""

    CALLBACK = "callback"
    """The provider's callback, whose kind and signature were checked."""

    INBOX = "inbox"
    """A record of the provider's inbox, which lists calls and texts together."""


class Outcome(StrEnum):
    """Effect of a callback or of an inbox record."""

    CONFIRMED = "confirmed"
    REPEATED = "repeated"
    EARLY = "early"
    LATE = "late"
    UNMATCHED = "unmatched"
    CONTESTED = "contested"
    BAD_SIGNATURE = "bad_signature"
    MALFORMED = "malformed"
    OTHER = "other"
    WEAK = "weak"
    """Only the inbox shows the call, and the inbox proves less than the purpose requires."""


@dataclass(frozen=True, slots=True)
class InboundCall:
    """A call that the provider reports.

    Attributes:
        cli: the caller's number as ``+`` and digits; not checked against a numbering plan.
        at: when the phone rang, UTC, whole seconds.
        dialled: the number that was called, as ``+`` and digits; None if the provider does not say it.
        witness: source of the report.
        texted: True if the caller recently sent a text that the inbox could list as a call.
    """

    cli: str
    at: datetime
    dialled: str | None = None
    witness: Witness = Witness.CALLBACK
    texted: bool = False

    def __repr__(self) -> str:
        return f"InboundCall(at={self.at.isoformat()})"


@dataclass(frozen=True, slots=True)
class OtherMessage:
    """An authentic callback that changes no verification, for instance a text whose sender is not a number.

    Attributes:
        outcome: ``malformed`` for an unreadable entry in a batch of readable ones.
    """

    kind: Kind
    outcome: Outcome = Outcome.OTHER
