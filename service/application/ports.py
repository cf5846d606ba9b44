"""What the use cases need from the world. Each port says how it fails."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from service.application.effects import NO_EFFECTS, Effects
from service.domain.call import InboundCall
from service.domain.conversion import Bucket, Budget
from service.domain.limits import LimitState, Scope, Spending, Spent
from service.domain.lists import Directory, ListEntry, ListKind
from service.domain.numbers import E164
from service.domain.order import ProviderOrder
from service.domain.verification import Verification

Clock = Callable[[], datetime]
"""The time in UTC, aware. Asked at the use case's edge and passed down from there."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it was read.

    Attributes:
        verification: the record.
        version: must be unchanged when a change is stored.
        pointer: for the store: what the number pointed to when this was read as its latest record.
    """

    verification: Verification
    version: bytes = field(repr=False)
    pointer: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """A record as it was read, and the record of the same id that takes its place.

    Attributes:
        holding: True to store it only while the number still points to this record.
    """

    before: Stored
    after: Verification
    holding: bool = False


@dataclass(frozen=True, slots=True)
class CreationContext:
    """Everything that a create decides by, read at once.

    Attributes:
        latest: the number's latest record, live or not.
        directory: entries that operators blocked and allowed.
        buckets: counts of the conversion guard for each group that was asked for, in order.
    """

    latest: Stored | None
    directory: Directory
    buckets: tuple[list[Bucket], ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A new record that holds its number, and how its limits stand. A refused limit counts nothing."""

    stored: Stored
    spent: Spent = field(default_factory=Spent)


class Claim(Enum):
    """Result of an attempt to use a call."""

    DONE = "done"
    REPEATED = "repeated"
    CONFLICT = "conflict"


class VerificationStore(Protocol):
    """Repository of the records, and of the number that each holds.

    Every method is one atomic step and raises StoreUnavailable when it may not have happened.
    ``now`` (UTC) only computes how long a record is kept.
    """

    def new_id(self, number: E164) -> str:
        """Return a fresh id with 128 random bits, which also says where the record lives."""
        ...

    def get(self, verification_id: str) -> Stored | None:
        """Return the record, or None for an id that is unknown, forgotten or malformed."""
        ...

    def get_many(self, verification_ids: Sequence[str]) -> Sequence[Stored | Exception | None]:
        """Get many records. An unreadable one is returned as the exception that it raised."""
        ...

    def get_with_lists(self, verification_id: str) -> tuple[Stored | None, Directory]:
        """Return the record and the operators' lists, read after it: an entry older than the record's state is in them."""
        ...

    def latest_of(self, number: str) -> Stored | None:
        """Return the latest record of a number (E.164), live or not."""
        ...

    def latest_at(self, place: str) -> Stored | None:
        """Return the latest record of the number whose ids begin with ``ver_`` and this, live or not."""
        ...

    def creation_context(self, number: str, groups: Sequence[tuple[Budget, str]] = ()) -> CreationContext:
        """Return what is known about a number (E.164), the lists, and the conversion counts of some groups."""
        ...

    def reserve(
        self,
        verification: Verification,
        over: Stored | None,
        now: datetime,
        spendings: Sequence[Spending] = (),
    ) -> Reservation | None:
        """Store a new record and point its number to it, if the number still points to ``over``; else return None.

        The record is counted against ``spendings`` under its id, and due when its order must have ended. Where a limit
        refuses it, the record stands all the same: the caller releases it.
        """
        ...

    def release(self, stored: Stored, over: Stored | None, now: datetime) -> None:
        """Undo a reservation that came to nothing. The number points to ``over`` again."""
        ...

    def commit(self, change: Change, now: datetime, effects: Effects = NO_EFFECTS) -> Stored | None:
        """Store a change with its effects, if the record is still the one that was read; else return None.

        A record that holds its number, or is consumed, is kept through a fail-over. The new version differs from the old
        one also where both records are equal.
        """
        ...

    def confirm(self, stored: Stored, now: datetime) -> bool:
        """Make sure that a fail-over keeps the record as it was read. False where it has changed since."""
        ...

    def claim(
        self,
        call: InboundCall,
        keep_until: datetime,
        change: Change | None,
        now: datetime,
        effects: Effects = NO_EFFECTS,
    ) -> Claim:
        """Use a call, once, and store the change that it makes: both or neither. ``keep_until``: of the used call, UTC."""
        ...


class UsedCalls(Protocol):
    """Calls that were used, and texts that look like calls. Every method may raise StoreUnavailable."""

    def use_of(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        """Return the used call of the same caller that is nearest to this one, at most ``within`` away; None without one."""
        ...

    def remember_text(self, number: str, text: str, until: datetime, now: datetime) -> None:
        """Remember that a number (E.164) sent a text that looks like a call."""
        ...

    def was_texted_by(self, number: str, text: str | None = None) -> bool:
        """Tell if a number (E.164) sent such a text; with ``text``, if it sent this one."""
        ...


class Deadlines(Protocol):
    """When time alone changes each record (UTC). Every method may raise StoreUnavailable."""

    def due(self, now: datetime) -> list[str]:
        """Return ids whose time has come; some of them, where there are many."""
        ...

    def is_busy(self) -> bool:
        """Tell if any record has a deadline: one is pending, or verified and not yet settled."""
        ...

    def postpone(self, deadlines: Mapping[str, datetime | None], seen_at: datetime) -> None:
        """Set new deadlines for records that were due at ``seen_at``; None for no further one.

        A record that got a later deadline in the meantime keeps it.
        """
        ...


class ChangeNotifier(Protocol):
    """Wakes requests that wait for a record."""

    def wait_for_change(self, stored: Stored, seconds: float) -> bool:
        """Wait until a pending record differs from ``stored``, or the time is over.

        Returns:
            False at once when too many requests wait already, or the process leaves.

        Raises:
            StoreUnavailable
        """
        ...


class StoreProbe(Protocol):
    """Tells if the store does its work."""

    def ping(self) -> None:
        """Write something short-lived in the way that all work does.

        Raises:
            StoreUnavailable
        """
        ...


class Limits(Protocol):
    """How often something was done. Fails closed: StoreUnavailable."""

    def spend(self, spendings: Sequence[Spending], token: str | None, now: datetime) -> Spent:
        """Count one act against every limit, or, where one of them refuses, against none.

        ``token`` names the act, so that it counts once and can be given back; None where nobody will.
        """
        ...

    def give_back(self, spendings: Sequence[Spending], token: str) -> None:
        """Uncount ``token``."""
        ...

    def seal(self, scope: Scope, subject: str) -> str:
        """The keyed hash by which a subject is counted; what is kept of an address."""
        ...

    def look(self, spendings: Sequence[Spending], now: datetime) -> list[LimitState]:
        """How each limit stands; counts nothing."""
        ...

    def clear(self, spendings: Sequence[Spending]) -> None:
        """Forget everything that was counted."""
        ...


class Conversions(Protocol):
    """How many verifications were shown a number, and how many were called, group by group; counted with each change.

    Every method may raise StoreUnavailable.
    """

    def buckets(self, budget: Budget, subject: str) -> list[Bucket]:
        """What was counted."""
        ...

    def clear(self, budget: Budget, subject: str) -> None:
        """Forget everything that was counted."""
        ...


class Lists(Protocol):
    """What operators blocked and allowed. Every method may raise StoreUnavailable."""

    def directory(self) -> Directory:
        """The entries as they stand now, expired ones possibly among them."""
        ...

    def put(self, entry: ListEntry, now: datetime) -> None:
        """Add an entry, in the place of any other for its subject. It must expire.

        Raises:
            ValidationFailed: the lists are full.
        """
        ...

    def remove(self, kind: ListKind, subject: str) -> bool:
        """Take the entry of a subject out; False where there was none."""
        ...


class OrderIndex(Protocol):
    """Which verification an order is of, and which orders to ask about. Every method may raise StoreUnavailable."""

    def remember(self, order: ProviderOrder, verification_id: str, ask_at: datetime, now: datetime) -> None:
        """Before its number is shown; known for two of the longest windows."""
        ...

    def verification_of(self, order: ProviderOrder) -> str | None:
        """The verification's id; None where nobody remembers."""
        ...

    def to_ask(self, provider: str, now: datetime) -> list[ProviderOrder]:
        """Orders whose time to be asked about has come, the longest due first; some of them, where there are many."""
        ...

    def ask_again(self, order: ProviderOrder, at: datetime) -> None:
        """Not before ``at``."""
        ...

    def settle(self, order: ProviderOrder) -> None:
        """Nothing is left to ask."""
        ...
