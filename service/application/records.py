"""Changes to stored records: again and again until nobody came in between, announced once."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from service.application.chronicle import Chronicle
from service.application.observer import Observer
from service.application.ports import Stored, VerificationStore
from service.domain.call import InboundCall
from service.domain.errors import NotFound, RecordUnreadable, StoreUnavailable
from service.domain.status import FINISHED, Status
from service.domain.verification import Verification

CHANGE_ATTEMPTS = 50
"""Each lost attempt means that somebody else's change went through; this many end in 503."""


class Records:
    """Compare-and-set over the store. Every method may raise StoreUnavailable."""

    def __init__(self, store: VerificationStore, observer: Observer, chronicle: Chronicle) -> None:
        self._store = store
        self._observer = observer
        self._chronicle = chronicle

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
            consequences = self._chronicle.changed(stored.verification, current, now)
            replaced = self._store.replace(stored, current, now, consequences=consequences)
            if replaced is not None:
                self._observer.finished(current)
                return replaced
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
        confirm: bool = False,
        holding: bool = False,
    ) -> Verification:
        """Apply a transition to what is stored, again and again until nobody came in between.

        ``confirm``: also store what stays as it is, so that it is as safe as if it were new. ``holding``: as safe as a
        proof, and only while the number still points to this record.
        """
        for _ in range(CHANGE_ATTEMPTS):
            before = stored.verification
            after = transition(before)
            if after == before and not confirm:
                return after
            consequences = self._chronicle.changed(before, after, now)
            if (
                self._store.replace(stored, after, now, holding=holding, consequences=consequences)
                is not None
            ):
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
                # Stored anew even where it stays verified: a consume under way must look at the lists again.
                self.changed(stored, lambda record: record.block(now), now, confirm=True)


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
