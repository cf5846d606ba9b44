"""Ports: the interfaces that the use cases need and the adapters implement. Each says which errors it raises."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from waitcall.application.effects import NO_EFFECTS, AuditEntry, Effects
from waitcall.domain.channel import Attestation, Dialect, ProviderOrder
from waitcall.domain.conversion import Bucket, Conversion, ConversionBudget
from waitcall.domain.limits import Decision, LimitCheck, LimitResult, LimitState, Scope
from waitcall.domain.lists import Directory, ListEntry, ListKind
from waitcall.domain.matching import InboundCall, Kind, Outcome
from waitcall.domain.numbers import E164
from waitcall.domain.verification import Verification

Clock = Callable[[], datetime]
"""Returns the current time, timezone-aware, in UTC. A use case asks it once at its start and passes the time on."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it was read from the store.

    Attributes:
        verification: the record.
        version: the stored bytes. A change is stored only while they are still the same.
        pointer: the id that the number pointed to at this read; empty if the record was read by its id. Only the store
            uses it.
    """

    verification: Verification
    version: bytes = field(repr=False)
    pointer: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """A record as it was read, and the record with the same id that replaces it.

    Attributes:
        before: the record as it was read.
        after: the record to store.
        holding: True to store the change only while the number still points to this record.
    """

    before: Stored
    after: Verification
    holding: bool = False


@dataclass(frozen=True, slots=True)
class CreationContext:
    """Everything that a create needs to know about its number, read at once.

    Attributes:
        latest: the number's latest record, live or not; None without one.
        directory: the block and allow entries that operators made.
        buckets: the conversion guard's counts, one list for each group that was asked for, in the same order.
    """

    latest: Stored | None
    directory: Directory
    buckets: tuple[list[Bucket], ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A new record that holds its number.

    Attributes:
        stored: the record.
        limit_result: the state of the limits after counting it. If one of them refused, none has counted it.
    """

    stored: Stored
    limit_result: LimitResult = field(default_factory=LimitResult)


class Claim(Enum):
    """Result of an attempt to use a call."""

    DONE = "done"
    REPEATED = "repeated"
    CONFLICT = "conflict"


class VerificationStore(Protocol):
    """Repository of the records, and of the pointer from each number to its latest record.

    Every method is one atomic step, and raises StoreUnavailable if the step may not have happened.
    ``now`` (UTC) is only used to compute how long a record is kept.
    """

    def new_id(self, number: E164) -> str:
        """Return a fresh id with at least 128 random bits. The store finds the record's place by the id alone."""

    def get(self, verification_id: str) -> Stored | None:
        """Return the record; None if the id is unknown or malformed, or its record was deleted.

        Raises:
            RecordUnreadable: the stored record cannot be decoded.
        """

    def get_many(self, verification_ids: Sequence[str]) -> Sequence[Stored | Exception | None]:
        """Get many records. An unreadable one is returned as the exception that it raised."""

    def get_with_lists(self, verification_id: str) -> tuple[Stored | None, Directory]:
        """Return the record and the operators' lists.

        The lists are read after the record, so they contain every entry that is older than the record's state.
        """

    def latest_of(self, number: str) -> Stored | None:
        """Return the latest record of a number (E.164), live or not."""

    def latest_at(self, place: str) -> Stored | None:
        """Return the latest record, live or not, of the number whose ids begin with ``ver_`` and ``place``."""

    def creation_context(
        self, number: str, groups: Sequence[tuple[ConversionBudget, str]] = ()
    ) -> CreationContext:
        """Return the latest record of a number (E.164), the operators' lists, and the conversion counts of ``groups``."""

    def reserve(
        self,
        verification: Verification,
        over: Stored | None,
        now: datetime,
        limit_checks: Sequence[LimitCheck] = (),
    ) -> Reservation | None:
        """Store a new record and point its number to it, if the number still points to ``over``; else return None.

        The record counts against ``limit_checks`` under its id. The sweep looks at it when its order must have ended.
        If a limit refuses, the record is stored nevertheless, and the caller must release it.
        """

    def release(self, stored: Stored, over: Stored | None, now: datetime) -> None:
        """Delete a reserved record that is not needed, and point its number to ``over`` again."""

    def commit(self, change: Change, now: datetime, effects: Effects = NO_EFFECTS) -> Stored | None:
        """Store a change with its effects, if the record is still the one that was read; else return None.

        A change with ``holding``, and a consume, survives a fail-over. The version changes even if the record does not.
        """

    def confirm(self, stored: Stored, now: datetime) -> bool:
        """Make sure that the record, as it was read, survives a fail-over. Return False if it has changed since."""

    def claim(
        self,
        call: InboundCall,
        keep_until: datetime,
        change: Change | None,
        now: datetime,
        effects: Effects = NO_EFFECTS,
    ) -> Claim:
        """Mark a call as used, if it was not used before, and store the change that it makes: both or neither.

        If the caller's network vouches for the caller, the call may be used again after a report without that. Such a use
        must change the verification that was the number's latest one at the earlier report. Else it is REPEATED.

        ``keep_until``: the time until which the store remembers that the call was used (UTC).
        """


class UsedCalls(Protocol):
    """Memory of the calls that were used, and of texts that look like calls. Every method may raise StoreUnavailable."""

    def is_used(self, call: InboundCall) -> bool:
        """Tell if a report of this very call was used."""

    def use_of(self, call: InboundCall, within: timedelta) -> InboundCall | None:
        """Return the used call of the same caller that is nearest in time to this one, at most ``within`` away, or None."""

    def remember_text(self, number: str, text: str, until: datetime, now: datetime) -> None:
        """Remember until ``until`` (UTC) that a number (E.164) sent a text that looks like a call."""

    def was_texted_by(self, number: str, text: str | None = None) -> bool:
        """Tell if a number (E.164) lately sent a text that looks like a call; if ``text`` is given, this very text."""


class Deadlines(Protocol):
    """The time (UTC) at which each record expires or lapses by itself. Every method may raise StoreUnavailable."""

    def due(self, now: datetime) -> list[str]:
        """Return ids of verifications whose deadline has passed. If they are many, return only some of them."""

    def is_busy(self) -> bool:
        """Tell if any record still has a deadline. If none has, no verification is waiting for a call."""

    def postpone(self, deadlines: Mapping[str, datetime | None], seen_at: datetime) -> None:
        """Set new deadlines, by verification id, for records that were due at ``seen_at``. None removes the deadline.

        A record that got a deadline after ``seen_at`` in the meantime keeps it.
        """


class ChangeNotifier(Protocol):
    """Wakes requests that wait for a record."""

    def wait_for_change(self, stored: Stored, seconds: float) -> bool:
        """Wait until a pending record differs from ``stored``, or ``seconds`` have passed.

        Returns:
            False at once if too many requests wait already or the process is shutting down; else True.

        Raises:
            StoreUnavailable
        """


class StoreProbe(Protocol):
    """Check of the store's health."""

    def ping(self) -> None:
        """Check that the store accepts the kinds of write that serving needs, by writing short-lived values.

        Raises:
            StoreUnavailable
        """


class Limits(Protocol):
    """Counters behind the rate limits. Every method that talks to the store may raise StoreUnavailable."""

    def take(self, limit_checks: Sequence[LimitCheck], token: str | None, now: datetime) -> LimitResult:
        """Count one act against every limit; if one of them refuses it, count it against none.

        ``token`` identifies the act: it counts once however often it is sent, and can be given back. None for an act that
        is never given back.
        """

    def give_back(self, limit_checks: Sequence[LimitCheck], token: str) -> None:
        """Remove the act ``token`` from every limit."""

    def seal(self, scope: Scope, subject: str) -> str:
        """Return the keyed hash under which a subject is counted. A record keeps this hash instead of an address."""

    def look(self, limit_checks: Sequence[LimitCheck], now: datetime) -> list[LimitState]:
        """Return the state of each limit without counting anything."""

    def clear(self, limit_checks: Sequence[LimitCheck]) -> None:
        """Reset the limits: forget everything that was counted."""


class ConversionCounts(Protocol):
    """Counts of the conversion guard: for each group, how many numbers were shown and how many of them were called.

    The store counts with each change of a record. Every method may raise StoreUnavailable.
    """

    def buckets(self, budget: ConversionBudget, subject: str) -> list[Bucket]:
        """Return the counts of the group ``subject`` by bucket of time."""

    def clear(self, budget: ConversionBudget, subject: str) -> None:
        """Forget everything that was counted for the group ``subject``."""


class Lists(Protocol):
    """Block and allow entries that operators made. Every method may raise StoreUnavailable."""

    def directory(self) -> Directory:
        """Return the current entries. Some of them may have expired."""

    def put(self, entry: ListEntry, now: datetime) -> None:
        """Add an entry, and replace any other for its subject. The entry must have ``expires_at``.

        Raises:
            ValidationFailed: the lists are full.
        """

    def remove(self, kind: ListKind, subject: str) -> bool:
        """Remove the entry of a subject. Return False if there was none."""


class OrderIndex(Protocol):
    """Index from a provider's order to its verification, with the time of the next status query for each open order.

    Every method may raise StoreUnavailable.
    """

    def remember(self, order: ProviderOrder, verification_id: str, ask_at: datetime, now: datetime) -> None:
        """Store an order before its number is shown. The index keeps it for twice the longest window."""

    def verification_of(self, order: ProviderOrder) -> str | None:
        """Return the id of the order's verification, or None if the index does not have the order."""

    def to_ask(self, provider: str, now: datetime) -> list[ProviderOrder]:
        """Return orders whose status query is due, the most overdue first. If they are many, return only some."""

    def ask_again(self, order: ProviderOrder, at: datetime) -> None:
        """Plan the next status query of an open order for ``at`` (UTC)."""

    def settle(self, order: ProviderOrder) -> None:
        """Plan no further status query of the order."""


class AuditLog(Protocol):
    """An append-only stream of limited length and age."""

    def append(self, entry: AuditEntry) -> None:
        """Append the entry of an operator's act. Entries of transitions are stored with their change instead.

        Raises:
            StoreUnavailable: the entry may not have been kept.
        """

    def read(
        self, since: datetime, until: datetime, number: str | None = None
    ) -> Iterator[Mapping[str, str]]:
        """Return the entries of a period, oldest first; with ``number`` (E.164), only those of that number.

        Raises:
            StoreUnavailable
        """


class Observer(Protocol):
    """Records what happened. Methods never raise."""

    def started(self, verification: Verification) -> None:
        """Record that a verification's window began: its client has what to show the person."""

    def contested(self, verification: Verification) -> None:
        """Record that another requester asked for the number, so that a call no longer verifies it."""

    def verified(self, verification: Verification, call: InboundCall | None) -> None:
        """Record that the number was verified. ``call``: the call that verified it, if one did."""

    def finished(self, verification: Verification) -> None:
        """Record that a verification reached a final status. Called once for each."""

    def callback(self, kind: Kind, outcome: Outcome, lag_seconds: float | None = None) -> None:
        """Record the outcome of a callback. ``lag_seconds``: time from the call to its callback, if known."""

    def own_call(self, dialect: Dialect, attestation: Attestation | None, outcome: Outcome) -> None:
        """Record the outcome of a call to one of our own numbers, and how far its carrier vouches for the caller."""

    def reconciled(self, outcome: Outcome | None) -> None:
        """Record the outcome of asking a provider for a call, text or order whose callback may be lost.

        None: the call's time or dialled number could not be determined.
        """

    def ordered(self, provider: str, *, given: bool) -> None:
        """Record an order at a provider. ``given``: whether the provider gave a number to dial."""

    def fell_back(self, verification: Verification) -> None:
        """Record that a client moved its verification to another channel."""

    def code_sent(self, verification: Verification) -> None:
        """Record that the provider accepted a code."""

    def code_checked(self, verification: Verification, *, correct: bool) -> None:
        """Record that a code was typed."""

    def code_reported(self, verification: Verification) -> None:
        """Record the delivery status that the provider reported for the latest code."""

    def refused(self, client: str, code: str) -> None:
        """Record that an authenticated client got a 4xx answer. ``code``: its problem code."""

    def limited(self, scope: Scope, decision: Decision) -> None:
        """Record the decision of a limit."""

    def guarded(self, conversion: Conversion, region: str, decision: Decision, now: datetime) -> None:
        """Record the decision of the conversion guard."""


@dataclass(frozen=True, slots=True)
class Term:
    """A worker's right to lead. It lasts as long as the worker renews it.

    Attributes:
        fence: number of the term. Each term has a higher one, and writes of a term are refused once a later one began.
        holder: name of the worker process that leads, different for each process.
    """

    fence: int
    holder: str


class Leadership(Protocol):
    """The lease that decides who leads. Every method may raise StoreUnavailable."""

    def take(self, holder: str) -> Term | None:
        """Begin a term, or renew the one that ``holder`` has. Return None while another worker leads."""

    def resign(self, term: Term) -> None:
        """End the term at once, so that the next leader does not wait until the lease expires."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer.

    Attributes:
        status: the HTTP status.
        body: the response body.
        location: the Location header; None without one.
    """

    status: int
    body: str = field(repr=False)
    location: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Begun:
    """A claim on an Idempotency-Key: this request alone may answer under it for now.

    Attributes:
        key: the store's name for the Idempotency-Key.
        version: the stored value of this claim. Only the request that holds it can store the answer.
        fingerprint: hash of the request, to recognize a different request with the same key.
    """

    key: str = field(repr=False)
    version: bytes = field(repr=False)
    fingerprint: str = field(repr=False)


class IdempotencyStore(Protocol):
    """Store of answers by client, route and Idempotency-Key."""

    def begin(self, client: str, route: str, key: str, request: bytes) -> Begun | Answer:
        """Claim the key, or return the answer that is stored under it.

        Raises:
            IdempotencyKeyReused: the key was used for a different request.
            IdempotencyInFlight: the first request with the key is still being answered.
            StoreUnavailable
        """

    def complete(self, begun: Begun, answer: Answer, keep_seconds: int) -> None:
        """Store the answer for ``keep_seconds``.

        Raises:
            StoreUnavailable: the answer may not have been stored.
        """

    def abandon(self, begun: Begun) -> None:
        """Release the key, because the request failed and may be tried again. Never raises."""
