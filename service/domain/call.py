"""An observed call, its witness, and what it did."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What a callback is about. ``unknown`` is what could not even be told apart."""

    CALL = "call"
    SMS = "sms"
    STATUS = "status"
    UNKNOWN = "unknown"


class Witness(StrEnum):
    """Source of the report that a number called. ``domain/evidence.py`` says what each may prove."""

    CALLBACK = "callback"
    """The provider's handler message, whose kind and signature were checked."""

    INBOX = "inbox"
    """A record of the provider's inbox, where calls and texts stand side by side."""


class Outcome(StrEnum):
    """Effect of a callback or of a record of the inbox."""

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
    """The inbox shows the call, and that proves less than the purpose demands."""


@dataclass(frozen=True, slots=True)
class InboundCall:
    """A call that the provider vouches for, as one witness tells it.

    Attributes:
        cli: the caller's number as ``+`` and digits; not checked against a numbering plan.
        at: when it rang, UTC, whole seconds.
        dialled: the number that was called, as ``+`` and digits, where the provider says it.
        witness: who says so.
        texted: a text of this caller that looks like a record of a call reached the handler lately.
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
    """An authentic callback that is no call: a delivery status or an incoming SMS.

    Attributes:
        outcome: ``malformed`` for an entry that cannot be read, beside others of its batch.
    """

    kind: Kind
    outcome: Outcome = Outcome.OTHER
