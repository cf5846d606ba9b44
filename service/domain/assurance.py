"""How much a verification proves about who holds the number."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.domain.channel import Channel


class Assurance(StrEnum):
    """From least to most (docs/what-a-call-proves.md)."""

    ASSERTED = "asserted"
    """The provider says that this caller ID called; it may have been forged."""

    NETWORK = "network"
    """The caller's network is bound by law to check caller IDs."""

    ROUNDTRIP = "roundtrip"
    """A secret that only the phone could know travelled. Neither a call nor a text from it gives this."""

    def reaches(self, minimum: "Assurance") -> bool:
        """Whether this is at least ``minimum``."""
        levels = list(Assurance)
        return levels.index(self) >= levels.index(minimum)

    def at_most(self, limit: "Assurance") -> "Assurance":
        """Return the lesser of this and ``limit``."""
        return self if limit.reaches(self) else limit


@dataclass(frozen=True, slots=True)
class Attested:
    """What the operator believes of one region's networks, and on whose word."""

    assurance: Assurance
    source: str


def of_call(region: str, table: Mapping[str, Attested]) -> Assurance:
    """What a call from ``region`` proves; what the table does not name is only asserted."""
    attested = table.get(region)
    return attested.assurance if attested else Assurance.ASSERTED


def of_channel(channel: Channel, region: str, table: Mapping[str, Attested]) -> Assurance:
    """What one channel proves.

    A text from the phone rests on its sender's number, like a call, and whoever starts the verification sees the text:
    docs/adr/0024.
    """
    match channel:
        case Channel.CALL:
            return of_call(region, table)
        case Channel.TEXT_IN:
            return Assurance.ASSERTED
        case Channel.CODE:
            return Assurance.ROUNDTRIP
