"""Block and allow lists: numbers, prefixes and networks that an operator blocks, or exempts from a wider block."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_network

from waitcall.domain.errors import InvalidPhoneNumber
from waitcall.domain.limits import plain_address
from waitcall.domain.numbers import E164, earlier_forms, mask

LONGEST_REASON = 200
_PREFIX = re.compile(r"\+[1-9][0-9]{0,13}", re.ASCII)


class ListKind(StrEnum):
    """Kind of subject that an entry names."""

    NUMBER = "number"
    PREFIX = "prefix"
    NETWORK = "network"


class ListAction(StrEnum):
    """Action of an entry."""

    BLOCK = "block"
    ALLOW = "allow"
    """Exempts the subject from wider blocks, from the conversion guard, and from the limits that count it."""


@dataclass(frozen=True, slots=True)
class ListEntry:
    """Entry of the block and allow lists.

    Attributes:
        subject: in canonical form: a number in the form of its subscriber (``E164.subscriber``), a prefix as ``+`` and digits, or a network in CIDR form.
        reason: text for people; it must contain no secret.
        by: name of the operator who made the entry; ``policy`` for the policy file.
        expires_at: the first instant at which the entry no longer applies; None if it never expires.
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
        """The subject in a form that may be logged."""
        return mask(self.subject) if self.kind is ListKind.NUMBER else self.subject

    @property
    def weight(self) -> int:
        """Precision of the entry; higher is more exact. Numbers and prefixes are comparable, and so are networks."""
        if self.kind is ListKind.NETWORK:
            return ip_network(self.subject).prefixlen
        return len(self.subject) + (100 if self.kind is ListKind.NUMBER else 0)

    def is_live(self, now: datetime) -> bool:
        """Tell whether the entry still applies."""
        return self.expires_at is None or now < self.expires_at


def canonical(kind: ListKind, text: str, default_region: str | None = None) -> str:
    """Return the canonical form of a subject.

    Raises:
        ValueError: the text is not a number, prefix or network, as ``kind`` requires.
    """
    match kind:
        case ListKind.NUMBER:
            try:
                return E164.parse(text, default_region).subscriber
            except InvalidPhoneNumber as error:
                raise ValueError("Not a phone number.") from error
        case ListKind.PREFIX:
            if not _PREFIX.fullmatch(text):
                raise ValueError("Not a prefix: write + and up to 14 digits, for instance +7800.")
            return text
        case ListKind.NETWORK:
            # A zone or an IPv4-mapped network would never match an address.
            if "%" in text or text.lower().startswith("::ffff:"):
                raise ValueError("Not a network: write it like 203.0.113.0/24.")
            return str(ip_network(text, strict=False))


class Directory:
    """Index of entries by the subject that they name. If two entries name one subject, the later one counts."""

    def __init__(self, entries: Iterable[ListEntry] = ()) -> None:
        self.entries = {(entry.kind, _named(entry)): entry for entry in entries}
        self._prefix_lengths = sorted({len(s) for k, s in self.entries if k is ListKind.PREFIX})
        networks = [ip_network(subject) for kind, subject in self.entries if kind is ListKind.NETWORK]
        self._masks = sorted({(network.version, network.prefixlen) for network in networks})

    def naming_number(self, number: E164, now: datetime) -> list[ListEntry]:
        """Return the live entries that name the number, or a prefix of one of its equivalent forms."""
        forms = (number.subscriber, *earlier_forms(number.value))
        prefixes = {form[:length]: None for length in self._prefix_lengths for form in forms}
        named = [(ListKind.PREFIX, prefix) for prefix in prefixes]
        return self._live([*named, (ListKind.NUMBER, number.subscriber)], now)

    def naming_address(self, address: str, now: datetime) -> list[ListEntry]:
        """Return the live entries that name a network which contains the address."""
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


def _named(entry: ListEntry) -> str:
    # An earlier version wrote numbers in another form.
    return E164(entry.subject).subscriber if entry.kind is ListKind.NUMBER else entry.subject


def strongest(entries: Iterable[ListEntry]) -> ListEntry | None:
    """Return the most exact entry; of two that are equally exact, the one that blocks."""
    return max(entries, key=lambda each: (each.weight, each.action is ListAction.BLOCK), default=None)
