"""One live verification per number: who gets it, who gets the live one again, who is refused."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from math import ceil

from service.application.admission import Admission, Screened
from service.application.ports import Reservation, Stored, Survey, VerificationStore
from service.application.records import CHANGE_ATTEMPTS, Records
from service.domain.errors import NotFound, StoreUnavailable, VerificationInProgress
from service.domain.limits import Spending
from service.domain.replace import replace
from service.domain.requester import Requester
from service.domain.verification import Verification


class Reservations:
    """The place of a new record. Every method may raise StoreUnavailable."""

    def __init__(self, store: VerificationStore, records: Records, admission: Admission) -> None:
        self._store = store
        self._records = records
        self._admission = admission

    def reserve(
        self,
        opened: Verification,
        survey: Survey,
        screened: Screened,
        price: Sequence[Spending],
        now: datetime,
    ) -> tuple[Reservation | Verification, Stored | None]:
        """The reservation and whose place it took, or the record that answers instead."""
        requester, number, latest = opened.requester, opened.phone_number, survey.latest
        for attempt in range(CHANGE_ATTEMPTS):
            if attempt:
                # A name of its own for each attempt: whoever saw the last one vanish must not take this for it.
                opened = replace(opened, id=self._store.new_id(number))
                latest = self._store.latest_of(number.value)
            if latest is not None:
                latest = self._records.settled(latest, now)
                if latest.verification.answers(requester, now):
                    # The request that made it may have been refused, because it was not safe yet.
                    if self._store.confirm(latest, now):
                        return latest.verification, None
                    continue
                if not latest.verification.may_be_succeeded_by(requester, now):
                    # One that is gone meanwhile refuses nobody: look again.
                    with suppress(NotFound):
                        self._refuse_second(latest, requester, now)
                    continue
                opened = opened.after(latest.verification, now)
            self._admission.guard(number, screened, survey.buckets, now)
            reserved = self._store.reserve(opened, latest, now, price)
            if reserved is not None:
                return reserved, latest
        raise StoreUnavailable(retry_after=1)

    def _refuse_second(self, latest: Stored, requester: Requester, now: datetime) -> None:
        live = latest.verification
        if not live.requester.same_as(requester):
            live = self._records.changed(latest, lambda record: record.contest(now), now)
        until = live.busy_until(now) or now
        raise VerificationInProgress(retry_after=max(ceil((until - now).total_seconds()), 1))
