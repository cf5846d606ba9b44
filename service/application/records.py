"""Changes to stored records: again and again until nobody came in between, announced once."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from service.application.effects import TransitionEffects
from service.application.observer import Observer
from service.application.ports import Change, Stored, VerificationStore
from service.domain.call import InboundCall
from service.domain.errors import NotFound, RecordUnreadable, StoreUnavailable
from service.domain.status import FINISHED, Status
from service.domain.verification import Verification

CHANGE_ATTEMPTS = 50
"""Each lost attempt means that somebody else's change went through; this many end in 503."""


class Records:
    """Compare-and-set over the store. Every method may raise StoreUnavailable."""

    def __init__(self, store: VerificationStore, observer: Observer, effects: TransitionEffects) -> None:
        self._store = store
        self._observer = observer
        self._effects = effects

    def found(self, client: str, verification_id: str, now: datetime) -> Stored:
        """A client's record as it stands.

        Raises:
            NotFound: unknown, forgotten, another client's, or not yet shown.
        """
        return self.owned(client, self._store.get(verification_id), now)

    def owned(self, client: str, stored: Stored | None, now: datetime) -> Stored:
        """The record that was read, as it stands.

        Raises:
            NotFound: there is none, it is another client's, or not yet shown.
        """
        if stored is None or stored.verification.requester.client != client:
            raise NotFound
        stored = self.settled(stored, now)
        if stored.verification.status is Status.ORDERING:
            raise NotFound
        return stored

    def settled(self, stored: Stored, now: datetime) -> Stored:
        """Write down what time alone has decided, so that it is announced exactly once."""
        for _ in range(CHANGE_ATTEMPTS):
            current = stored.verification.at(now)
            if current is stored.verification:
                return stored
            effects = self._effects.changed(stored.verification, current, now)
            committed = self._store.commit(Change(stored, current), now, effects)
            if committed is not None:
                self._observer.finished(current)
                return committed
            again = self._store.get(current.id)
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
        """Apply a transition to the record, again if another change came in between, and return the record.

        Args:
            stored: the record as read.
            transition: may be called several times.
            now: UTC.
            anew: True to store the record also where the transition leaves it as it is. Whoever read it before must then
                read it again.
            holding: True to store it only while its number still points to it.

        Raises:
            NotFound: the record is gone.
            StoreUnavailable: too many other changes came in between.
        """
        for _ in range(CHANGE_ATTEMPTS):
            before = stored.verification
            after = transition(before)
            if after == before and not anew:
                return after
            effects = self._effects.changed(before, after, now)
            if self._store.commit(Change(stored, after, holding), now, effects) is not None:
                announce(self._observer, before, after)
                return after
            again = self._store.get(before.id)
            if again is None:
                raise NotFound
            stored = again
        raise StoreUnavailable(retry_after=1)

    def block(self, number: str, now: datetime) -> None:
        """End what is live for a number that an operator has blocked."""
        # One that cannot be read here proves nothing here either.
        with suppress(RecordUnreadable, NotFound):
            stored = self._store.latest_of(number)
            if stored is not None:
                # A verified record stays as it is, but a consume that has read it must look at the lists again.
                self.changed(stored, lambda record: record.block(now), now, anew=True)


def announce(
    observer: Observer, before: Verification, after: Verification, call: InboundCall | None = None
) -> None:
    """Tell of a change that was stored; ``call`` where one made it."""
    if after.verified_at is not None and before.verified_at is None:
        observer.verified(after, call)
    elif after.status in FINISHED and before.status not in FINISHED:
        observer.finished(after)
    elif after.status is Status.CONTESTED and before.status is not Status.CONTESTED:
        observer.contested(after)
