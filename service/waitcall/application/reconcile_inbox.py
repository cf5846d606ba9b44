"""Recovery of calls and texts whose callbacks were lost, by polling the provider's inbox.

The inbox lists calls and texts side by side, so a record proves less than a callback (docs/adr/0032). A record that looks
like a call is used only some seconds after it was received: by then the callback of a text has arrived and shown that the
record is a text.

A record has a growing id and a wall-clock time in an unknown time zone (smsc-api.md, section 3). Zones differ from UTC by
whole quarters of an hour, so such a time can mean one instant in each quarter of an hour. A record that was not there at
the last poll is newer than that poll. If both facts together leave a single instant, it is the time of the call.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Protocol

from waitcall.application.ports import Clock, Deadlines, Term
from waitcall.application.record_call import SKEW, RecordInboundCall
from waitcall.application.record_text import RecordInboundText
from waitcall.domain.errors import InvalidPhoneNumber, StoreUnavailable
from waitcall.domain.matching import InboundCall, InboundText, Witness
from waitcall.domain.numbers import E164, mask, normal_form
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS

PAGE = 1000
"""Records that one request returns at most. Fewer records mean that none remain."""
MOST_PAGES = 10
"""Requests of one poll at most. The next poll reads the rest."""
QUARTER = timedelta(minutes=15)
UNSEEN = timedelta(seconds=60)
"""Longest delay between a call and its record in the inbox for which the call's time is still determined correctly."""
HOUR = timedelta(hours=1)
"""Period that one request covers: the last hour."""
SETTLING = timedelta(seconds=5)
"""Time for which a record that looks like a call waits, so that the callback of a text can arrive first."""
IDLE_AFTER = timedelta(seconds=LONGEST_WINDOW_SECONDS)
"""Polling pauses if nothing was pending for this time. No call can be missing then."""


@dataclass(frozen=True, slots=True)
class InboxRecord:
    """A record of the provider's inbox.

    Attributes:
        id: the record's id; later records have higher ids.
        cli: the caller's number as ``+`` and digits; None if the record is not a call or its number is unreadable.
        dialled: our number as ``+`` and digits; None if the record does not name it.
        wall_time: the record's time without an offset, in the provider's unknown time zone.
        text: the incoming text, if the record is one.
        received: time at which the provider received it, in the same zone; None if the record does not say.
        message: the words of a record that looks like a call.
    """

    id: int
    cli: str | None
    dialled: str | None
    wall_time: datetime | None
    text: InboundText | None = None
    received: datetime | None = field(default=None, compare=False)
    message: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"InboxRecord({self.id})"


class Inbox(Protocol):
    """The provider's inbox of calls and texts."""

    def after(self, record_id: int | None) -> list[InboxRecord]:
        """Return records of the last hour with ids above ``record_id``, oldest first; ``PAGE`` or more if others remain.

        Raises:
            ProviderFailure
        """


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of reading the inbox. Times are UTC.

    Attributes:
        after_id: id of the last record that was processed.
        asked_at: start of the last poll, successful or not.
        read_at: start of the last successful poll.
        busy_at: last time at which a verification was pending.
        utc_offset: offset of the provider's wall clock from UTC, in seconds; None until a record has shown it.
    """

    after_id: int | None = None
    asked_at: datetime | None = None
    read_at: datetime | None = None
    busy_at: datetime | None = None
    utc_offset: int | None = None


class ProgressStore(Protocol):
    """Store of the progress. Every method may raise StoreUnavailable."""

    def load(self) -> Progress:
        """Return the progress that was saved last; an empty one at the first time."""

    def save(self, term: Term, progress: Progress) -> bool:
        """Save the progress. Return False, and save nothing, if the term has ended."""


class ReconcileInbox:
    """Polls the inbox while a call could be missing. Only the leading worker runs it."""

    def __init__(  # noqa: PLR0913  one parameter per port
        self,
        *,
        inbox: Inbox,
        progress: ProgressStore,
        deadlines: Deadlines,
        calls: RecordInboundCall,
        messages: RecordInboundText,
        clock: Clock,
        every: timedelta,
        may_be_dialled: Callable[[E164], bool],
    ) -> None:
        """``every``: shortest time between two polls. The provider allows three identical requests in a minute.

        ``may_be_dialled``: tells if a number can belong to the provider's pool.
        """
        self._inbox = inbox
        self._progress = progress
        self._deadlines = deadlines
        self._calls = calls
        self._messages = messages
        self._clock = clock
        self._every = every
        self._may_be_dialled = may_be_dialled

    def run(self, term: Term) -> int:
        """Poll the inbox, if it is time to and a call could be missing.

        Returns:
            Number of calls found.

        Raises:
            ProviderFailure, StoreUnavailable: the next poll reads the remaining records.
            Exception: a record could not be processed. All others were processed.
        """
        now = self._clock()
        known = self._progress.load()
        if known.asked_at is not None and now - known.asked_at < self._every:
            return 0
        # At the first poll it is unknown what was pending before, so assume that something was.
        busy_at = now if known.busy_at is None or self._deadlines.is_busy() else known.busy_at
        if now - busy_at > IDLE_AFTER:
            return 0
        known = replace(known, asked_at=now, busy_at=busy_at)
        if not self._progress.save(term, known):
            return 0
        found, broken, more = 0, None, True
        for _ in range(MOST_PAGES):
            records = self._inbox.after(known.after_id)
            settled = list(takewhile(partial(_is_settled, self._clock()), records))
            for record in settled:
                known, error = self._dealt_with(record, known, now)
                broken = error or broken
                found += record.cli is not None
            # The next poll, of this leader or another, reads the records again that are not settled yet.
            more = len(records) >= PAGE and len(settled) == len(records)
            # While pages remain, ``read_at`` stays, because it bounds the age of their records too.
            kept = self._progress.save(term, known if more else replace(known, read_at=now))
            if not more or not kept:
                break
        if broken is not None:
            raise broken
        return found

    def _dealt_with(
        self, record: InboxRecord, known: Progress, now: datetime
    ) -> tuple[Progress, Exception | None]:
        """Process a record. Return the progress after it, and the error if it failed, so that others are still processed."""
        error: Exception | None = None
        if record.cli is not None:
            at, known = self._placed(record, known, now)
            try:
                if at is None:
                    self._calls.unplaced()
                else:
                    dialled = self._dialled(record.dialled)
                    self._calls.reconcile(InboundCall(record.cli, at, dialled, Witness.INBOX))
            except StoreUnavailable:
                raise
            except Exception as caught:  # noqa: BLE001  raised after the other records
                error = caught
        elif record.text is not None:
            # Each text to send is made once, so an old text cannot match: its time is not needed.
            self._messages.reconcile_text(record.text)
        return replace(known, after_id=record.id), error

    def _placed(
        self, record: InboxRecord, known: Progress, now: datetime
    ) -> tuple[datetime | None, Progress]:
        since = max(known.read_at or now - HOUR, now - HOUR) - UNSEEN - SETTLING
        at, offset = instant(record.wall_time, since, now + SKEW, known.utc_offset)
        return at, replace(known, utc_offset=offset)

    def _dialled(self, text: str | None) -> str | None:
        try:
            number = E164.parse(normal_form(text)) if text else None
        except InvalidPhoneNumber:
            return None
        return number.value if number is not None and self._may_be_dialled(number) else None


def _is_settled(now: datetime, record: InboxRecord) -> bool:
    """Tell if a record may be used: it is not a call, or was received at least ``SETTLING`` ago in any time zone.

    ``received`` is the provider's own time, and preferred: the other time of a text may come from its sender. Because the
    zone is unknown, a record that is a whole number of quarters of an hour old seems new, and waits once more.
    """
    wall_time = record.received or record.wall_time
    if record.cli is None or wall_time is None:
        return True
    return (now + SKEW - wall_time.replace(tzinfo=UTC)) % QUARTER >= SKEW + SETTLING


def instant(
    wall_time: datetime | None, since: datetime, until: datetime, utc_offset: int | None
) -> tuple[datetime | None, int | None]:
    """Find the only instant in ``(since, until]`` that a wall clock time can mean.

    Args:
        wall_time: the time without an offset; None if there is none.
        since: the instant is later than this (UTC).
        until: the instant is not later than this (UTC).
        utc_offset: offset of that clock from UTC in seconds; None if unknown.

    Returns:
        The instant (UTC) and the offset of the clock. The instant is None if none or several are possible; the offset is
        None if it is unknown, or no longer right.
    """
    if wall_time is None:
        return None, utc_offset
    as_utc = wall_time.replace(tzinfo=UTC)
    if utc_offset is not None:
        at = as_utc - timedelta(seconds=utc_offset)
        if since < at <= until:
            return at, utc_offset
        # The provider's clock or the account was changed, so the known offset is no longer right.
        utc_offset = None
    latest = until - ((until - as_utc) % QUARTER)
    if latest <= since or latest - QUARTER > since:
        return None, utc_offset
    return latest, int((as_utc - latest).total_seconds())


@dataclass(frozen=True, slots=True)
class LikeACall:
    """A record that looks like a call, with masked numbers.

    Attributes:
        caller: the caller's number, masked.
        dialled: the number that was called, masked; empty if the record names none.
        may_be_shown: True if the dialled number may be shown to callers and does not receive texts.
        is_text: True if a callback reported a text with the same sender and words.
    """

    caller: str = field(repr=False)
    dialled: str = field(repr=False)
    may_be_shown: bool
    is_text: bool


def like_calls(
    records: Collection[InboxRecord],
    may_be_dialled: Callable[[E164], bool],
    text_numbers: Collection[E164],
    was_texted_by: Callable[[str, str], bool],
) -> list[LikeACall]:
    """Return the records that look like calls, in their order."""

    def may_be_shown(dialled: str | None) -> bool:
        try:
            number = E164.parse(normal_form(dialled or ""))
        except InvalidPhoneNumber:
            return False
        return may_be_dialled(number) and number not in text_numbers

    return [
        LikeACall(
            mask(each.cli),
            mask(each.dialled) if each.dialled else "",
            may_be_shown(each.dialled),
            was_texted_by(each.cli, each.message),
        )
        for each in records
        if each.cli is not None
    ]
