"""Reservation of a number: each number has at most one live verification."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import ceil

from waitcall.application.admission import AdmissionControl, Screening
from waitcall.application.ports import CreationContext, Reservation, Stored, VerificationStore
from waitcall.application.records import CHANGE_ATTEMPTS, Records
from waitcall.domain.errors import NotFound, StoreUnavailable, VerificationInProgress
from waitcall.domain.limits import LimitCheck
from waitcall.domain.policy import Purpose
from waitcall.domain.verification import Verification


class Reservations:
    """Reserves a number for a new record. Every method may raise StoreUnavailable."""

    def __init__(
        self,
        store: VerificationStore,
        records: Records,
        admission: AdmissionControl,
        purposes: Mapping[str, Purpose],
    ) -> None:
        self._store = store
        self._records = records
        self._admission = admission
        self._purposes = purposes

    def reserve(  # noqa: PLR0913, PLR0917  each decides over the reservation
        self,
        opened: Verification,
        context: CreationContext,
        screened: Screening,
        limit_checks: Sequence[LimitCheck],
        client_ip: str | None,
        now: datetime,
    ) -> tuple[Reservation | Verification, Stored | None]:
        """Reserve the number for ``opened``, or return the same requester's live record.

        A reservation counts against ``limit_checks``. If another requester's verification holds the number, the attempt counts
        against the address, its network and the client.

        Returns:
            The reservation and the record that it succeeds, if any; or the live record and None.

        Raises:
            VerificationInProgress: another requester's verification holds the number.
            RateLimited: the conversion guard refuses, or a limit on such attempts.
        """
        requester, number, latest = opened.requester, opened.phone_number, context.latest
        refused = partial(
            self._admission.applicable.of_refused_create, client_ip, requester.client, screened.exempt
        )
        act = opened.id
        for attempt in range(CHANGE_ATTEMPTS):
            if attempt:
                # Each attempt has an id of its own, so that no other request takes it for the earlier, deleted one.
                opened = replace(opened, id=self._store.new_id(number))
                latest = self._store.latest_of(number.value)
            if latest is not None:
                latest = self._records.settled(latest, now)
                if latest.verification.answers(requester, now):
                    # The request that made it may have been answered 503, because it was not replicated yet.
                    if self._store.confirm(latest, now):
                        return latest.verification, None
                    continue
                if not latest.verification.may_be_succeeded_by(requester, now):
                    # If the record was deleted meanwhile, the number is free: try again.
                    with suppress(NotFound):
                        self._refuse_second(latest, opened, refused(), act, now)
                    self._admission.uncount_refused_create(refused(), act)
                    continue
                opened = opened.after(latest.verification, now)
            self._admission.guard(number, screened, context.buckets, now)
            reserved = self._store.reserve(opened, latest, now, limit_checks)
            if reserved is not None:
                return reserved, latest
        raise StoreUnavailable(retry_after=1)

    def _refuse_second(
        self,
        latest: Stored,
        second: Verification,
        limit_checks: Sequence[LimitCheck],
        act: str,
        now: datetime,
    ) -> None:
        live = latest.verification
        if not live.requester.same_as(second.requester):
            # Count it first, so that a requester over the limit cannot contest the verification.
            self._admission.count_refused_create(limit_checks, act, now)
            # The record does not store the demand of its purpose.
            purpose = self._purposes.get(live.requester.purpose, live.rules)
            if second.rules.demand.reaches(purpose.demand):
                live = self._records.changed(latest, lambda record: record.contest(now), now)
        until = live.busy_until(now) or now
        raise VerificationInProgress(retry_after=max(ceil((until - now).total_seconds()), 1))
