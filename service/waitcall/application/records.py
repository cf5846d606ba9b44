"""Changes of stored records: compare-and-set with retries. Each change is announced once."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from waitcall.application.effects import TransitionEffects
from waitcall.application.ports import Change, Observer, Stored, VerificationStore
from waitcall.domain.errors import NotFound, RecordUnreadable, StoreUnavailable
from waitcall.domain.matching import InboundCall
from waitcall.domain.status import FINISHED, Status
from waitcall.domain.verification import Verification

CHANGE_ATTEMPTS = 50
"""Attempts before the answer is 503. An attempt fails only if another change of the record succeeded meanwhile."""


class Records:
    """Reads and changes records by compare-and-set. Every method may raise StoreUnavailable.

    Attributes:
        store: the store of the records.
        observer: told of each change that was stored.
        effects: computes what is written with each change.
    """

    def __init__(self, store: VerificationStore, observer: Observer, effects: TransitionEffects) -> None:
        self.store = store
        self.observer = observer
        self.effects = effects

    def found(self, client: str, verification_id: str, now: datetime) -> Stored:
        """Return a client's record as it stands at ``now``.

        Raises:
            NotFound: the record does not exist, belongs to another client, or is still being ordered.
        """
        return self.owned(client, self.store.get(verification_id), now)

    def owned(self, client: str, stored: Stored | None, now: datetime) -> Stored:
        """Check that a record that was read belongs to the client, and return it as it stands at ``now``.

        Raises:
            NotFound: ``stored`` is None, belongs to another client, or is still being ordered.
        """
        if stored is None or stored.verification.requester.client != client:
            raise NotFound
        stored = self.settled(stored, now)
        if stored.verification.status is Status.ORDERING:
            raise NotFound
        return stored

    def settled(self, stored: Stored, now: datetime) -> Stored:
        """Store the status that the record reached by time alone, so that it is announced exactly once."""
        for _ in range(CHANGE_ATTEMPTS):
            current = stored.verification.at(now)
            if current is stored.verification:
                return stored
            committed = self.commit(stored, current, now)
            if committed is not None:
                return committed
            again = self.store.get(current.id)
            if again is None:
                return Stored(current, stored.version)
            stored = replace(again, pointer=stored.pointer)
        raise StoreUnavailable(retry_after=1)

    def changed(
        self,
        stored: Stored,
        transition: Callable[[Verification], Verification],
        now: datetime,
        *,
        anew: bool = False,
        holding: bool = False,
    ) -> Verification:
        """Apply a transition and store the record; read it again and retry if another change came first.

        Args:
            stored: the record as it was read.
            transition: returns the new record; may be called several times.
            now: the current time, UTC.
            anew: True to store the record even if the transition does not change it. A simultaneous change that has
                already read the record then fails, and reads it again.
            holding: True to store the record only while its number still points to it.

        Raises:
            NotFound: the record was deleted meanwhile.
            StoreUnavailable: all attempts lost to other changes.
        """
        for _ in range(CHANGE_ATTEMPTS):
            before = stored.verification
            after = transition(before)
            if after == before and not anew:
                return after
            if self.commit(stored, after, now, holding=holding) is not None:
                return after
            again = self.store.get(before.id)
            if again is None:
                raise NotFound
            stored = again
        raise StoreUnavailable(retry_after=1)

    def commit(
        self,
        stored: Stored,
        after: Verification,
        now: datetime,
        *,
        holding: bool = False,
        call: InboundCall | None = None,
    ) -> Stored | None:
        """Store a change of a record once, with its effects. Return None if another change came first.

        ``call``: the call that makes the change, if one does.
        """
        effects = self.effects.changed(stored.verification, after, now)
        committed = self.store.commit(Change(stored, after, holding), now, effects)
        if committed is not None:
            self.announce(stored.verification, after, call)
        return committed

    def block(self, number: str, now: datetime) -> None:
        """Cancel the live verification of a number (E.164) that an operator has blocked."""
        # This version cannot verify a record that it cannot read, so the block need not end it.
        with suppress(RecordUnreadable, NotFound):
            stored = self.store.latest_of(number)
            if stored is not None:
                # A verified record does not change, but a consume that has read it must read the lists again.
                self.changed(stored, lambda record: record.block(now), now, anew=True)

    def announce(self, before: Verification, after: Verification, call: InboundCall | None = None) -> None:
        """Tell the observer about a stored change. ``call``: the call that made it, if one did."""
        if after.verified_at is not None and before.verified_at is None:
            self.observer.verified(after, call)
        elif after.status in FINISHED and before.status not in FINISHED:
            self.observer.finished(after)
        elif after.status is Status.CONTESTED and before.status is not Status.CONTESTED:
            self.observer.contested(after)
