"""What time alone decides is written down and announced, also where nobody asks for it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from service.application.effects import TransitionEffects
from service.application.observer import Observer
from service.application.ports import Clock, Deadlines, Stored, VerificationStore
from service.application.records import Records
from service.domain.errors import RecordUnreadable, StoreUnavailable
from service.domain.verification import Verification

Remind = Callable[[Verification, datetime], None]

_MOST_PASSES = 50
"""The store gives some at a time; what is left then is due at the next sweep."""

BROKEN_AGAIN = timedelta(seconds=60)
"""A record that this version cannot settle is tried again after this; another version may be able to."""


class Sweep:
    """One pass over what is due. Any number of processes may sweep: each change is stored, and told, once."""

    def __init__(  # noqa: PLR0913  its ports
        self,
        store: VerificationStore,
        deadlines: Deadlines,
        observer: Observer,
        clock: Clock,
        effects: TransitionEffects,
        *,
        remind: Remind | None = None,
    ) -> None:
        """
        Args:
            store: has the records.
            deadlines: says which are due.
            observer: told of what is finished.
            clock: UTC.
            effects: what is written with it.
            remind: given each record, to announce what it has to tell and was not announced.
        """
        self._store = store
        self._deadlines = deadlines
        self._records = Records(store, observer, effects)
        self._remind = remind
        self._clock = clock

    def run(self, patience: timedelta = timedelta()) -> int:
        """Settle what is due, but for what has been for no longer than ``patience``: that is left to others.

        Returns:
            How many records were looked at.

        Raises:
            StoreUnavailable: what is left stays due.
            Exception: one record could not be settled; all others were, and it is due again later.
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
        """Why one of them could not be settled."""
        broken: Exception | None = None
        deadlines: dict[str, datetime | None] = {}
        for verification_id, stored in zip(due, self._store.get_many(due), strict=True):
            try:
                deadlines[verification_id] = self._settle(stored, now)
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001  raised below, when the others have had their turn
                deadlines[verification_id] = now + BROKEN_AGAIN
                broken = error
        self._deadlines.postpone(deadlines, now)
        return broken

    def _settle(self, stored: Stored | Exception | None, now: datetime) -> datetime | None:
        """When it is to be looked at again."""
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
