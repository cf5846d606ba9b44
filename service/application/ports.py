"""What the use cases need from the world. Each port says how it fails."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from service.application.chronicle import NOTHING, Consequences
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
    """A record as read, with the version that a change must find unchanged.

    Attributes:
        pointer: the store's own: what the number pointed to when the record was read as its latest.
    """

    verification: Verification
    version: bytes = field(repr=False)
    pointer: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Survey:
    """What decides about a create, read at once.

    Attributes:
        latest: the number's latest record, live or not.
        directory: what operators blocked and allowed.
        buckets: of each group that was asked for, in order.
    """

    latest: Stored | None
    directory: Directory
    buckets: tuple[list[Bucket], ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A new record that holds its number, and what it was counted against; a refusal counts nothing."""

    stored: Stored
    spent: Spent = field(default_factory=Spent)


class Claim(Enum):
    """What became of an attempt to use a call."""

    DONE = "done"
    REPEATED = "repeated"
    CONFLICT = "conflict"


class VerificationStore(Protocol):
    """Records, the number that each holds, and the calls that were used.

    Every method is one atomic step and raises StoreUnavailable when it may not have happened.
    ``now`` only computes how long a record is kept.
    """

    def new_id(self, number: E164) -> str:
        """A fresh id with 128 random bits, which also says where the record lives."""
        ...

    def get(self, verification_id: str) -> Stored | None:
        """The record, or None for an id that is unknown, forgotten or malformed."""
        ...

    def get_all(self, verification_ids: Sequence[str]) -> Sequence[Stored | Exception | None]:
        """Get many records. An unreadable one is returned as the exception that it raised."""
        ...

    def look(self, verification_id: str) -> tuple[Stored | None, Directory]:
        """The record, and then the lists: no entry is missing that was made before the record became as it is."""
        ...

    def latest_of(self, number: str) -> Stored | None:
        """The latest record of a number (``+`` and digits), live or not."""
        ...

    def latest_at(self, place: str) -> Stored | None:
        """The latest record of the number whose ids begin with this, after ``ver_``; live or not."""
        ...

    def survey(self, number: str, groups: Sequence[tuple[Budget, str]]) -> Survey:
        """What is known about a number (``+`` and digits), the lists, and the conversion of some groups."""
        ...

    def reserve(
        self,
        verification: Verification,
        over: Stored | None,
        now: datetime,
        spendings: Sequence[Spending] = (),
    ) -> Reservation | None:
        """Keep a new record and point the number to it, if it still points to ``over``; else None.

        It is counted against ``spendings`` under its id, and due when its order must have ended. Where a limit refuses
        it, it stands all the same, for the caller to release.
        """
        ...

    def release(self, stored: Stored, over: Stored | None, now: datetime) -> None:
        """Undo a reservation that came to nothing: the number points to ``over`` again."""
        ...

    def replace(
        self,
        stored: Stored,
        verification: Verification,
        now: datetime,
        *,
        holding: bool = False,
        consequences: Consequences = NOTHING,
    ) -> Stored | None:
        """Store the change, and what comes of it, if nobody changed the record since; else None.

        ``holding``: only while the number still points to this record, and as safe as a proof.
        """
        ...

    def confirm(self, stored: Stored, now: datetime) -> bool:
        """Whether the record is still this. Raises StoreUnavailable unless a fail-over keeps it."""
        ...

    def claim(
        self,
        call: InboundCall,
        keep_until: datetime,
        change: tuple[Stored, Verification] | None,
        now: datetime,
        consequences: Consequences = NOTHING,
    ) -> Claim:
        """Use the call, once, and store the change that it makes, both or neither, and what comes of it."""
        ...

    def use_of(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        """This call as it was used before: of the same caller, at most ``within`` apart; None if it was not."""
        ...

    def remember_text(self, number: str, text: str, until: datetime, now: datetime) -> None:
        """Remember that a text which looks like a call came from a number (``+`` and digits)."""
        ...

    def was_texted_by(self, number: str, text: str | None = None) -> bool:
        """Tell if any such text of this number is remembered; with ``text``, if this one is."""
        ...

    def wait_for_change(self, stored: Stored, seconds: float) -> bool:
        """Hold until the record, which is pending, differs from ``stored`` or the time is over.

        Returns:
            False at once when too many callers wait already.
        """
        ...

    def schedule(self, verification_id: str, at: datetime) -> None:
        """Remember when time alone will change the record; a later call replaces the earlier."""
        ...

    def due(self, now: datetime) -> list[str]:
        """Ids whose scheduled time has come; some of them, where there are many."""
        ...

    def is_busy(self) -> bool:
        """Whether time alone will change any record: whether anything is pending, or verified and not settled."""
        ...

    def postpone(self, deadlines: Mapping[str, datetime | None], seen_at: datetime) -> None:
        """Put off what was due at ``seen_at``, and forget what has no deadline left; but for what was scheduled anew."""
        ...

    def ping(self) -> None:
        """Write something short-lived the way that all work does. StoreUnavailable where the store refuses."""
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
