"""Assurance: how strongly a verification proves who holds the number."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from waitcall.domain.channel import Channel


class Assurance(StrEnum):
    """Level of assurance, from the weakest to the strongest (docs/what-a-call-proves.md)."""

    ASSERTED = "asserted"
    """The provider reports this caller ID, which may be forged."""

    NETWORK = "network"
    """The law obliges the caller's network to check caller IDs."""

    ROUNDTRIP = "roundtrip"
    """The phone received a secret that was typed back to us. Calls and texts from the phone never reach this level."""

    def reaches(self, minimum: "Assurance") -> bool:
        """Tell whether this level is at least ``minimum``."""
        levels = list(Assurance)
        return levels.index(self) >= levels.index(minimum)

    def at_most(self, limit: "Assurance") -> "Assurance":
        """Return the weaker of this level and ``limit``."""
        return self if limit.reaches(self) else limit


@dataclass(frozen=True, slots=True)
class Attested:
    """Assurance that the operator assigns to calls from one region, and the source of that judgement."""

    assurance: Assurance
    source: str


def of_call(region: str, table: Mapping[str, Attested]) -> Assurance:
    """Return the assurance of a call from ``region``. A region that the table does not name gives ``asserted``."""
    attested = table.get(region)
    return attested.assurance if attested else Assurance.ASSERTED


def of_channel(channel: Channel, region: str, table: Mapping[str, Attested]) -> Assurance:
    """Return the assurance that a proof over one channel gives.

    A text from the phone proves only its sender's number, as a call does, and the person who starts the verification
    sees the text to send (docs/adr/0024).
    """
    match channel:
        case Channel.CALL:
            return of_call(region, table)
        case Channel.TEXT_IN:
            return Assurance.ASSERTED
        case Channel.CODE:
            return Assurance.ROUNDTRIP
