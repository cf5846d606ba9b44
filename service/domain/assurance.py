"""How much a verified call proves about who holds the number."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Assurance(StrEnum):
    """From least to most (docs/what-a-call-proves.md)."""

    ASSERTED = "asserted"
    """The provider says that this caller ID called; it may have been forged."""

    NETWORK = "network"
    """The caller's network is bound by law to check caller IDs."""

    ROUNDTRIP = "roundtrip"
    """A secret travelled to the phone, or from it. A call alone never gives this."""

    def reaches(self, minimum: "Assurance") -> bool:
        """Whether this is at least ``minimum``."""
        levels = list(Assurance)
        return levels.index(self) >= levels.index(minimum)


@dataclass(frozen=True, slots=True)
class Attested:
    """What the operator believes of one region's networks, and on whose word."""

    assurance: Assurance
    source: str


def of_call(region: str, table: Mapping[str, Attested]) -> Assurance:
    """What a call from ``region`` proves; what the table does not name is only asserted."""
    attested = table.get(region)
    return attested.assurance if attested else Assurance.ASSERTED
