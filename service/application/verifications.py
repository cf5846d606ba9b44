"""The life of a verification as its client drives it: start, read, consume, cancel."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

from service.application.admission import Admission, Admitted, Screened
from service.application.chronicle import Chronicle
from service.application.ports import (
    CallProvider,
    Clock,
    Observer,
    Reservation,
    Stored,
    Survey,
    VerificationStore,
)
from service.application.records import CHANGE_ATTEMPTS, Records
from service.domain.assurance import of_call
from service.domain.errors import (
    NotFound,
    ProviderFailure,
    ProviderUnavailable,
    PurposeNotAllowed,
    RateLimited,
    ServiceError,
    StoreUnavailable,
    ValidationFailed,
    VerificationInProgress,
)
from service.domain.limits import LimitState, Scope, Spending
from service.domain.numbers import E164
from service.domain.policy import SHORTEST_WINDOW_SECONDS, Client, Policy, Purpose
from service.domain.requester import Requester
from service.domain.status import Status
from service.domain.verification import Verification


@dataclass(frozen=True, slots=True)
class Start:
    """What a client asks for; the values as sent, types checked."""

    phone_number: str
    purpose: str
    reference: str | None = None
    window_seconds: int | None = None
    client_ip: str | None = None
    locale: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The record, whether this request made it, and how the limits stand that it was counted against."""

    verification: Verification
    created: bool
    limits: tuple[LimitState, ...] = ()


class Verifications:
    """The use cases of the internal API. Every method may raise StoreUnavailable."""

    def __init__(  # noqa: PLR0913  one parameter per port; the composition root names them all
        self,
        *,
        store: VerificationStore,
        admission: Admission,
        chronicle: Chronicle,
        provider: CallProvider,
        observer: Observer,
        clock: Clock,
        policy: Policy,
        default_window_seconds: int,
        order_seconds: int = 25,
    ) -> None:
        self._store = store
        self._records = Records(store, observer, chronicle)
        self._admission = admission
        self._chronicle = chronicle
        self._provider = provider
        self._observer = observer
        self._clock = clock
        self._policy = policy
        self._default_window_seconds = default_window_seconds
        self._order_seconds = order_seconds

    def start(self, client_name: str, request: Start) -> Started:
        """Order a number to dial, or answer the same requester's live verification again.

        Raises:
            ValidationFailed, PurposeNotAllowed, InvalidPhoneNumber, PhoneNumberNotAllowed: the request.
            Blocked: an operator said no.
            VerificationInProgress, RateLimited: not now.
            ProviderFailure: with ``verification_id`` of the failed record.
        """
        client = self._policy.clients[client_name]
        purpose = self._purpose(client, request)
        number = E164.parse(request.phone_number, client.default_region)
        assurance = of_call(number.region, self._policy.assurance)
        purpose.check(number, assurance)
        now = self._clock()
        survey = self._store.survey(number.value, self._admission.groups(number))
        screened = self._admission.screen(number, request.client_ip, survey.directory, now)
        price = self._admission.price(number, request.client_ip, client.name, screened)
        opened = Verification.open(
            verification_id=self._store.new_id(number),
            requester=Requester(client.name, purpose.name, request.reference),
            phone_number=number,
            rules=purpose,
            window_seconds=self._window(purpose, request.window_seconds),
            now=now,
            locale=request.locale,
            metadata=request.metadata,
            assurance=assurance,
            order_seconds=self._order_seconds,
        )
        reserved, over = self._reserve(opened, survey, screened, price, now)
        if isinstance(reserved, Verification):
            return Started(reserved, created=False)
        try:
            admitted = self._admission.judge(price, reserved.spent)
        except RateLimited:
            self._store.release(reserved.stored, over, now)
            raise
        return Started(self._ordered(reserved.stored, admitted), created=True, limits=admitted.limits)

    def get(self, client_name: str, verification_id: str, wait_seconds: int = 0) -> Verification:
        """The record as it stands, at the latest after ``wait_seconds`` of being pending.

        Raises:
            NotFound: unknown, forgotten, or another client's.
            RateLimited
        """
        now = self._clock()
        self._admission.count(Scope.READ, client_name, now)
        deadline = now + timedelta(seconds=wait_seconds)
        stored = self._find(client_name, verification_id, now)
        while stored.verification.status is Status.PENDING and now < deadline:
            until = min(deadline, stored.verification.expires_at)
            if not self._store.wait_for_change(stored, (until - now).total_seconds()):
                break
            now = self._clock()
            stored = self._find(client_name, verification_id, now)
        for _ in range(CHANGE_ATTEMPTS):
            # Who reads `verified` acts upon it: it must not be taken back.
            if stored.verification.status is not Status.VERIFIED or self._store.confirm(stored, now):
                return stored.verification
            stored = self._find(client_name, verification_id, now)
        raise StoreUnavailable(retry_after=1)

    def consume(
        self,
        client_name: str,
        verification_id: str,
        purpose: str,
        reference: str | None,
        redeemer: str | None = None,
    ) -> Verification:
        """Redeem the proof, exactly once; who got no answer asks again under the same ``redeemer``.

        Raises:
            NotFound, PurposeMismatch, ReferenceMismatch, NotVerified, Contested, AlreadyConsumed, Expired
            RateLimited
        """
        now = self._clock()
        self._admission.count(Scope.CONSUME, client_name, now)

        def redeem(record: Verification) -> Verification:
            return record.consume(purpose, reference, now, redeemer)

        known = self._recalled(client_name, verification_id, redeem)
        stored = known or self._find(client_name, verification_id, now)
        return self._records.changed(stored, redeem, now, confirm=True)

    def _recalled(
        self, client_name: str, verification_id: str, transition: Callable[[Verification], Verification]
    ) -> Stored | None:
        """What we saw last, where the change would go through: then it need not be read. A refusal is never read from it."""
        stored = self._store.recall(verification_id)
        with suppress(ServiceError):
            if stored is not None and stored.verification.requester.client == client_name:
                transition(stored.verification)
                return stored
        return None

    def cancel(self, client_name: str, verification_id: str) -> Verification:
        """Stop waiting for the call.

        Raises:
            NotFound, AlreadyVerified
        """
        now = self._clock()
        stored = self._find(client_name, verification_id, now)
        return self._records.changed(stored, lambda record: record.cancel(now), now)

    def _purpose(self, client: Client, request: Start) -> Purpose:
        purpose = self._policy.purposes.get(request.purpose)
        if purpose is None:
            raise ValidationFailed.of("purpose", "Not a configured purpose.")
        if purpose.name not in client.purposes:
            raise PurposeNotAllowed
        if purpose.require_reference and request.reference is None:
            raise ValidationFailed.of("reference", "This purpose requires a reference.")
        return purpose

    def _window(self, purpose: Purpose, asked: int | None) -> int:
        if asked is None:
            return min(self._default_window_seconds, purpose.max_window_seconds)
        if not SHORTEST_WINDOW_SECONDS <= asked <= purpose.max_window_seconds:
            raise ValidationFailed.of(
                "window_seconds",
                f"Must be between {SHORTEST_WINDOW_SECONDS} and {purpose.max_window_seconds}.",
            )
        return asked

    def _reserve(
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

    def _ordered(self, reserved: Stored, admitted: Admitted) -> Verification:
        """Place the order and open the window; whatever fails frees the number."""
        opened = reserved.verification
        try:
            call_number = self._provider.order(opened.phone_number)
            now = self._clock()
            pending = self._assign(reserved, call_number, now)
        except ProviderFailure as failure:
            now, reason = self._clock(), failure.reason
            # A fail-over may have forgotten the reservation.
            with suppress(NotFound):
                self._records.changed(reserved, lambda record: record.fail(reason, now), now)
            self._admission.give_back(admitted, opened.id)
            failure.verification_id = opened.id
            raise
        self._observer.started(pending)
        if pending.status is Status.CONTESTED:
            self._observer.contested(pending)
        return pending

    def _assign(self, reserved: Stored, call_number: E164, now: datetime) -> Verification:
        stored: Stored | None = reserved
        for _ in range(CHANGE_ATTEMPTS):
            if stored is None or stored.verification.at(now).status is not Status.ORDERING:
                break
            pending = stored.verification.assign(call_number, now)
            consequences = self._chronicle.started(pending, now)
            if self._store.replace(stored, pending, now, holding=True, consequences=consequences):
                return pending
            stored = self._store.get(reserved.verification.id)
        raise ProviderUnavailable("The provider's answer came too late.", retry_after=1)

    def _find(self, client_name: str, verification_id: str, now: datetime) -> Stored:
        stored = self._store.get(verification_id)
        if stored is None or stored.verification.requester.client != client_name:
            raise NotFound
        stored = self._records.settled(stored, now)
        if stored.verification.status is Status.ORDERING:
            raise NotFound
        return stored
