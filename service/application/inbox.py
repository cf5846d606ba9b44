"""The net under lost callbacks: calls from the provider's inbox, through the callback's own decision.

Calls and texts stand in the inbox side by side, so a record proves less than a callback (docs/adr/0032). One that looks like
a call is used only some seconds after it was received: the handler's message about a text has then left its mark.

An inbox record has an id that grows and a wall-clock time of an unknown zone (smsc-api.md, section 3). Zones
differ from UTC by whole quarters of an hour, so such a time names one instant in each quarter; that a record
was not there at the last poll bounds it from below. Where both together leave one instant, that is the call's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import takewhile
from typing import Protocol

from service.application.calls import SKEW, Calls
from service.application.leadership import Term
from service.application.messages import Messages
from service.application.ports import Clock, Deadlines
from service.domain.call import InboundCall, Witness
from service.domain.channel import InboundText
from service.domain.errors import InvalidPhoneNumber, StoreUnavailable
from service.domain.numbers import E164
from service.domain.policy import LONGEST_WINDOW_SECONDS

PAGE = 1000
"""Records of one request."""
MOST_PAGES = 10
"""Of one poll; what is left comes with the next."""
QUARTER = timedelta(minutes=15)
UNSEEN = timedelta(seconds=60)
"""How long a call may need to appear in the inbox, and still be placed right."""
HOUR = timedelta(hours=1)
"""What one request looks back on."""
SETTLING = timedelta(seconds=5)
"""Time that a record waits for the handler's message, which tells a text from a call."""
IDLE_AFTER = timedelta(seconds=LONGEST_WINDOW_SECONDS)
"""Nothing was pending for a whole window: no call can be missing."""


@dataclass(frozen=True, slots=True)
class InboxRecord:
    """One record of the provider's inbox.

    Attributes:
        id: grows; the order of records.
        cli: the caller as ``+`` and digits; None where it is no call, or the number unreadable.
        dialled: our number as ``+`` and digits, where the record names one.
        wall_time: without an offset, in the provider's zone, whichever that is.
        text: the message, where it is no call.
        received: when the provider received it, like ``wall_time``; None where the record does not say.
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
    """What the provider keeps."""

    def after(self, record_id: int | None) -> list[InboxRecord]:
        """Records after that one, of the last hour, oldest first, at most ``PAGE``. ProviderFailure."""
        ...


class Balance(Protocol):
    """The account at the provider."""

    def balance(self) -> Decimal:
        """Money left, in the account's currency. ProviderFailure."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the inbox was read.

    Attributes:
        after_id: the last record that was dealt with.
        asked_at: when a poll last began, whether or not it succeeded.
        read_at: when the last poll that succeeded began.
        busy_at: when something was last pending.
        utc_offset: of the provider's wall clock, in seconds, where a record has shown it.
    """

    after_id: int | None = None
    asked_at: datetime | None = None
    read_at: datetime | None = None
    busy_at: datetime | None = None
    utc_offset: int | None = None


class ProgressStore(Protocol):
    """Where progress is kept. Every method may raise StoreUnavailable."""

    def load(self) -> Progress:
        """As it stands."""
        ...

    def save(self, term: Term, progress: Progress) -> bool:
        """Keep it; False, and nothing is kept, when the term is over."""
        ...


class Reconciliation:
    """Reads the inbox while a call could be missing. For the leader alone."""

    def __init__(  # noqa: PLR0913  its ports
        self,
        *,
        inbox: Inbox,
        progress: ProgressStore,
        deadlines: Deadlines,
        calls: Calls,
        messages: Messages,
        clock: Clock,
        every: timedelta,
        may_be_dialled: Callable[[E164], bool],
    ) -> None:
        """
        Args:
            inbox: to read.
            progress: how far it was read.
            deadlines: tell if anything is pending.
            calls: decides, as for a callback.
            messages: the same for texts.
            clock: UTC.
            every: at least between two polls; the provider allows three identical ones in a minute.
            may_be_dialled: whether a number can be one of the provider's pool.
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
        """Poll, if it is time to and a call could be missing.

        Returns:
            How many calls were found.

        Raises:
            ProviderFailure, StoreUnavailable: what was not dealt with comes again.
            Exception: one record could not be dealt with; all others were.
        """
        now = self._clock()
        known = self._progress.load()
        if known.asked_at is not None and now - known.asked_at < self._every:
            return 0
        # On the very first look nobody knows what was pending before.
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
            # What settles, and all behind it, is read again by the next poll, whoever leads then.
            more = len(records) >= PAGE and len(settled) == len(records)
            # The records of further pages are no younger than those of the first.
            kept = self._progress.save(term, known if more else replace(known, read_at=now))
            if not more or not kept:
                break
        if broken is not None:
            raise broken
        return found

    def _dealt_with(
        self, record: InboxRecord, known: Progress, now: datetime
    ) -> tuple[Progress, Exception | None]:
        """The progress after a record, and why it could not be dealt with: the next ones must not wait for it."""
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
            except Exception as caught:  # noqa: BLE001  raised when the others have had their turn
                error = caught
        elif record.text is not None:
            # A text was shown once: it needs no time to be told from an old one.
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
            number = E164.parse(text) if text else None
        except InvalidPhoneNumber:
            return None
        return number.value if number is not None and self._may_be_dialled(number) else None


def _is_settled(now: datetime, record: InboxRecord) -> bool:
    """Tell if a record may be used: it is no call, or was received at least ``SETTLING`` ago, in whichever zone.

    ``received`` is the provider's own; what a text says of its sending is its sender's word. A record that is whole quarters
    of an hour old waits once more, for no longer.
    """
    wall_time = record.received or record.wall_time
    if record.cli is None or wall_time is None:
        return True
    return (now + SKEW - wall_time.replace(tzinfo=UTC)) % QUARTER >= SKEW + SETTLING


def instant(
    wall_time: datetime | None, since: datetime, until: datetime, utc_offset: int | None
) -> tuple[datetime | None, int | None]:
    """The one instant in ``(since, until]`` that a wall clock can have meant.

    Args:
        wall_time: without an offset.
        since: after this.
        until: at the latest.
        utc_offset: of that clock, in seconds, where it is known.

    Returns:
        The instant and the offset that it shows; None and what was known before where several are possible.
    """
    if wall_time is None:
        return None, utc_offset
    as_utc = wall_time.replace(tzinfo=UTC)
    if utc_offset is not None:
        at = as_utc - timedelta(seconds=utc_offset)
        if since < at <= until:
            return at, utc_offset
        # The clock was changed, or the account: what was learned is worth nothing now.
        utc_offset = None
    latest = until - ((until - as_utc) % QUARTER)
    if latest <= since or latest - QUARTER > since:
        return None, utc_offset
    return latest, int((as_utc - latest).total_seconds())
