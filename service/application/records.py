"""Changes to stored records: again and again until nobody came in between, announced once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from service.application.chronicle import Chronicle
from service.application.ports import Observer, Stored, VerificationStore
from service.domain.errors import NotFound, StoreUnavailable
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
    ) -> Verification:
        """Apply a transition to what is stored, again and again until nobody came in between.

        ``confirm``: also store what stays as it is, so that it is as safe as if it were new.
        """
        for _ in range(CHANGE_ATTEMPTS):
            before = stored.verification
            after = transition(before)
            if after == before and not confirm:
                return after
            consequences = self._chronicle.changed(before, after, now)
            if self._store.replace(stored, after, now, consequences=consequences) is not None:
                self._announce(before, after)
                return after
            again = self._store.get(before.id)
            if again is None:
                raise NotFound
            stored = again
        raise StoreUnavailable(retry_after=1)

    def _announce(self, before: Verification, after: Verification) -> None:
        if after.status in FINISHED and before.status not in FINISHED:
            self._observer.finished(after)
        elif after.status is Status.CONTESTED and before.status is not Status.CONTESTED:
            self._observer.contested(after)
