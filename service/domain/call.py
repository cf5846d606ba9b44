"""An observed call, and what it did."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What a callback is about. ``unknown`` is what could not even be told apart."""

    CALL = "call"
    SMS = "sms"
    STATUS = "status"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """What a callback did."""

    CONFIRMED = "confirmed"
    REPEATED = "repeated"
    EARLY = "early"
    LATE = "late"
    UNMATCHED = "unmatched"
    CONTESTED = "contested"
    BAD_SIGNATURE = "bad_signature"
    MALFORMED = "malformed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class InboundCall:
    """A call that the provider vouches for.

    Attributes:
        cli: the caller's number as ``+`` and digits; not checked against a numbering plan.
        at: when it rang, UTC, whole seconds.
        dialled: the number that was called, as ``+`` and digits, where the provider says it.
    """

    cli: str
    at: datetime
    dialled: str | None = None

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
