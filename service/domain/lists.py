"""Numbers, prefixes and networks that an operator blocks, or allows against a wider block."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_network

from service.domain.errors import InvalidPhoneNumber
from service.domain.limits import plain_address
from service.domain.numbers import E164, mask

LONGEST_REASON = 200
_PREFIX = re.compile(r"\+[1-9][0-9]{0,13}", re.ASCII)


class ListKind(StrEnum):
    """What an entry names."""

    NUMBER = "number"
    PREFIX = "prefix"
    NETWORK = "network"


class ListAction(StrEnum):
    """What an entry does."""

    BLOCK = "block"
    ALLOW = "allow"
    """Lifts blocks that are wider, the conversion guard, and the limits that count this subject."""


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One line of the lists.

    Attributes:
        subject: canonical: E.164, ``+`` and digits, or a network in CIDR form.
        reason: for people; no secret.
        by: who made it; ``policy`` for the policy file.
        expires_at: the first instant at which it says nothing; None for never.
    """

    action: ListAction
    kind: ListKind
    subject: str
    reason: str
    by: str = "policy"
    created_at: datetime | None = None
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"ListEntry({self.action}, {self.kind}, {self.masked})"

    @property
    def masked(self) -> str:
        """The subject as it may be logged."""
        return mask(self.subject) if self.kind is ListKind.NUMBER else self.subject

    @property
    def weight(self) -> int:
        """The more exact of two entries weighs more."""
        if self.kind is ListKind.NETWORK:
            return ip_network(self.subject).prefixlen
        return len(self.subject) + (100 if self.kind is ListKind.NUMBER else 0)

    def is_live(self, now: datetime) -> bool:
        """Whether it still says anything."""
        return self.expires_at is None or now < self.expires_at


def canonical(kind: ListKind, text: str, default_region: str | None = None) -> str:
    """The one way to write a subject.

    Raises:
        ValueError: not a number, prefix or network.
    """
    match kind:
        case ListKind.NUMBER:
            try:
                return E164.parse(text, default_region).value
            except InvalidPhoneNumber as error:
                raise ValueError("Not a phone number.") from error
        case ListKind.PREFIX:
            if not _PREFIX.fullmatch(text):
                raise ValueError("Not a prefix: + and up to 14 digits, for instance +7800.")
            return text
        case ListKind.NETWORK:
            # A zone or an IPv4-mapped network would never match an address.
            if "%" in text or text.lower().startswith("::ffff:"):
                raise ValueError("Not a network, for instance 203.0.113.0/24.")
            return str(ip_network(text, strict=False))


class Directory:
    """Entries, found by what they name. One subject has one entry: of two, the later given."""

    def __init__(self, entries: Iterable[ListEntry] = ()) -> None:
        self.entries = {(entry.kind, entry.subject): entry for entry in entries}
        self._prefix_lengths = sorted({len(s) for k, s in self.entries if k is ListKind.PREFIX})
        networks = [ip_network(subject) for kind, subject in self.entries if kind is ListKind.NETWORK]
        self._masks = sorted({(network.version, network.prefixlen) for network in networks})

    def naming_number(self, number: E164, now: datetime) -> list[ListEntry]:
        """Live entries that name the number or the beginning of it."""
        prefixes = [(ListKind.PREFIX, number.value[:length]) for length in self._prefix_lengths]
        return self._live([*prefixes, (ListKind.NUMBER, number.value)], now)

    def naming_address(self, address: str, now: datetime) -> list[ListEntry]:
        """Live entries that name a network around the address."""
        parsed = plain_address(address)
        around = [
            (ListKind.NETWORK, str(ip_network((parsed, length), strict=False)))
            for version, length in self._masks
            if version == parsed.version
        ]
        return self._live(around, now)

    def _live(self, named: Iterable[tuple[ListKind, str]], now: datetime) -> list[ListEntry]:
        found = [self.entries[each] for each in named if each in self.entries]
        return [entry for entry in found if entry.is_live(now)]


def strongest(entries: Iterable[ListEntry]) -> ListEntry | None:
    """The most exact entry decides; of two that are as exact, the one that blocks."""
    return max(entries, key=lambda each: (each.weight, each.action is ListAction.BLOCK), default=None)
