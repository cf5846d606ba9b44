"""The sweep: stores and announces changes that time alone causes, such as an expiry that no request has noticed."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from waitcall.application.ports import Clock, Deadlines, Stored
from waitcall.application.records import Records
from waitcall.domain.errors import RecordUnreadable, StoreUnavailable
from waitcall.domain.verification import Verification

Remind = Callable[[Verification, datetime], None]

_MOST_PASSES = 50
"""Reads of due records in one sweep at most. The store returns some at a time; the rest is due at the next sweep."""

BROKEN_AGAIN = timedelta(seconds=60)
"""Time until a record that cannot be settled is tried again. Another version of the service may be able to settle it."""


class ExpireVerifications:
    """Settles the records that are due. Several processes may sweep at once: each change is stored and announced once."""

    def __init__(
        self,
        records: Records,
        deadlines: Deadlines,
        clock: Clock,
        *,
        remind: Remind | None = None,
    ) -> None:
        """``remind``: called with each record, to announce its events that were not announced yet; None announces none."""
        self._records = records
        self._deadlines = deadlines
        self._remind = remind
        self._clock = clock

    def run(self, patience: timedelta = timedelta()) -> int:
        """Settle the records that have been due for longer than ``patience``. Other processes settle the younger ones.

        Returns:
            Number of records looked at.

        Raises:
            StoreUnavailable: the remaining records stay due.
            Exception: a record could not be settled and is due again later. All others were settled.
        """
        looked_at = 0
        broken: Exception | None = None
        for _ in range(_MOST_PASSES):
            now = self._clock()
            due = self._deadlines.due(now - patience)
            if not due:
                break
            looked_at += len(due)
            broken = self._settle_all(due, now) or broken
        if broken is not None:
            raise broken
        return looked_at

    def _settle_all(self, due: Sequence[str], now: datetime) -> Exception | None:
        """Settle records and plan their next deadlines. Return the error of one that could not be settled, or None."""
        broken: Exception | None = None
        deadlines: dict[str, datetime | None] = {}
        for verification_id, stored in zip(due, self._records.store.get_many(due), strict=True):
            try:
                deadlines[verification_id] = self._settle(stored, now)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001  returned after the other records
                deadlines[verification_id] = now + BROKEN_AGAIN
                broken = error
        self._deadlines.postpone(deadlines, now)
        return broken

    def _settle(self, stored: Stored | Exception | None, now: datetime) -> datetime | None:
        """Settle one record. Return when to look at it again (UTC), or None for never."""
        if isinstance(stored, RecordUnreadable):
            return now + BROKEN_AGAIN
        if isinstance(stored, Exception):
            raise stored
        if stored is None:
            return None
        record = self._records.settled(stored, now).verification
        if self._remind is not None:
            self._remind(record, now)
        return record.next_deadline
