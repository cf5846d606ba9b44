"""Create a verification: check the request, hold the number, order a number to call or send a code."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import ceil

from waitcall.application.admission import Admission, AdmissionControl, Screening
from waitcall.application.open_channel import ChannelOpening
from waitcall.application.ports import (
    Change,
    Clock,
    CreationContext,
    Reservation,
    Stored,
)
from waitcall.application.records import CHANGE_ATTEMPTS, Records
from waitcall.domain.channel import Captcha, Channel, PlacedOrder, TextIn
from waitcall.domain.errors import (
    Blocked,
    CaptchaRequired,
    NotFound,
    ProviderFailure,
    ProviderUnavailable,
    PurposeNotAllowed,
    RateLimited,
    RecordUnreadable,
    StoreUnavailable,
    ValidationFailed,
    VerificationInProgress,
)
from waitcall.domain.hosted_page import check_return_url
from waitcall.domain.limits import LimitCheck, LimitState
from waitcall.domain.numbers import E164
from waitcall.domain.policy import SHORTEST_WINDOW_SECONDS, Client, Policy
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Requester, Verification


class Risk(StrEnum):
    """Risk of the visitor, as the client judges it."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class CreateCommand:
    """A client's request for a verification. Types are checked, values are as the client sent them."""

    phone_number: str = field(repr=False)
    purpose: str
    reference: str | None = field(default=None, repr=False)
    window_seconds: int | None = None
    client_ip: str | None = field(default=None, repr=False)
    locale: str | None = None
    metadata: Mapping[str, str] | None = field(default=None, repr=False)
    channel: str | None = None
    captcha: Captcha | None = None
    risk: Risk | None = None
    return_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Created:
    """Result of a create.

    Attributes:
        verification: the new record, or the same requester's live one.
        created: True if this request created the record.
        limits: state of the limits that counted the request and that the client may see; empty for a live record.
    """

    verification: Verification
    created: bool
    limits: tuple[LimitState, ...] = ()


class CreateVerification:
    """The use case behind create. It may raise StoreUnavailable."""

    def __init__(  # noqa: PLR0913  one parameter per port; the composition root names them all
        self,
        *,
        records: Records,
        admission: AdmissionControl,
        opening: ChannelOpening,
        clock: Clock,
        policy: Policy,
        default_window_seconds: int,
        order_seconds: int = 25,
    ) -> None:
        self._records = records
        self._store = records.store
        self._observer = records.observer
        self._admission = admission
        self._opening = opening
        self._clock = clock
        self._policy = policy
        self._default_window_seconds = default_window_seconds
        self._order_seconds = order_seconds

    def create(self, client_name: str, request: CreateCommand) -> Created:
        """Start a verification, or return the same requester's live one.

        Raises:
            ValidationFailed, PurposeNotAllowed, InvalidPhoneNumber, PhoneNumberNotAllowed: the request is wrong.
            Blocked: an operator has blocked the number or the address.
            CaptchaRequired: the visitor must solve a captcha first.
            VerificationInProgress, RateLimited: the client may ask again later.
            ProviderFailure: the order failed; ``verification_id`` names the failed record.
        """
        now, address = self._clock(), request.client_ip
        opened = self._opened(self._policy.clients[client_name], request, now)
        number, channel = opened.phone_number, opened.channel
        try:
            context = self._store.creation_context(number.value, self._admission.groups(number))
        except RecordUnreadable as error:
            # The unreadable record may be live and belong to another requester, so refuse.
            raise VerificationInProgress(retry_after=error.retry_after) from error
        screened = self._admission.screen(
            number, address, now, context.directory, test=opened.test is not None
        )
        limit_checks = self._admission.applicable.of_create(
            number, address, client_name, channel, screened.exempt
        )
        opened = replace(opened, paid_by=self._admission.seals(number, address, screened))
        reserved = self._reserve(opened, context, screened, limit_checks, address, now)
        if isinstance(reserved, Verification):
            return Created(reserved, created=False)
        reservation, over = reserved
        try:
            admitted = self._admission.judge(limit_checks, reservation.limit_result)
            self._ask_for_captcha(request, reservation.stored.verification, admitted)
        except (RateLimited, CaptchaRequired):
            self._store.release(reservation.stored, over, now)
            raise
        record = self._ordered(reservation.stored, admitted, request.captcha)
        return Created(record, created=True, limits=admitted.limits)

    def _opened(self, client: Client, request: CreateCommand, now: datetime) -> Verification:
        """Check the request, and return the record that it asks for."""
        purpose = self._policy.purposes.get(request.purpose)
        if purpose is None:
            raise ValidationFailed.of("purpose", "Not a configured purpose.")
        if purpose.name not in client.purposes:
            raise PurposeNotAllowed
        if purpose.require_reference and request.reference is None:
            raise ValidationFailed.of("reference", "This purpose requires a reference.")
        number = E164.parse(request.phone_number, client.default_region)
        if request.channel not in (None, *purpose.channels):
            raise ValidationFailed.of("channel", f"This purpose allows {', '.join(purpose.channels)}.")
        channel = purpose.channels[0] if request.channel is None else Channel(request.channel)
        assurance = purpose.assurance(channel, number, self._policy.assurance)
        test = self._policy.test_of(number)
        best = self._policy.best_assurance(purpose, channel, number)
        purpose.check(number, best, channel, test=test is not None)
        window, longest = request.window_seconds, purpose.max_window_seconds
        if window is None:
            window = min(self._default_window_seconds, longest)
        elif not SHORTEST_WINDOW_SECONDS <= window <= longest:
            detail = f"Must be between {SHORTEST_WINDOW_SECONDS} and {longest}."
            raise ValidationFailed.of("window_seconds", detail)
        return_url = request.return_url and check_return_url(request.return_url, client.return_origins)
        opened = Verification.open(
            verification_id=self._store.new_id(number),
            requester=Requester(client.name, purpose.name, request.reference),
            phone_number=number,
            rules=purpose,
            window_seconds=window,
            now=now,
            locale=request.locale,
            metadata=request.metadata,
            assurance=assurance,
            order_seconds=self._order_seconds,
            channel=channel,
            test=test,
        )
        return replace(opened, return_url=return_url)

    def _reserve(  # noqa: PLR0913, PLR0917  each decides over the reservation
        self,
        opened: Verification,
        context: CreationContext,
        screened: Screening,
        limit_checks: Sequence[LimitCheck],
        client_ip: str | None,
        now: datetime,
    ) -> tuple[Reservation, Stored | None] | Verification:
        """Reserve the number for ``opened``, or return the same requester's live record.

        Returns:
            The reservation, which counts against ``limit_checks``, and the record that it succeeds, if any.

        Raises:
            VerificationInProgress: another requester's verification holds the number.
            RateLimited: the conversion guard refuses, or a limit on such attempts.
        """
        requester, number, latest = opened.requester, opened.phone_number, context.latest
        first_id = opened.id
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
                        return latest.verification
                    continue
                if not latest.verification.may_be_succeeded_by(requester, now):
                    refused = self._admission.applicable.of_refused_create(
                        client_ip, requester.client, screened.exempt
                    )
                    self._refuse(latest, opened, refused, first_id, now)
                    continue
                opened = opened.after(latest.verification, now)
            self._admission.guard(number, screened, context.buckets, now)
            reservation = self._store.reserve(opened, latest, now, limit_checks)
            if reservation is not None:
                return reservation, latest
        raise StoreUnavailable(retry_after=1)

    def _refuse(
        self,
        latest: Stored,
        second: Verification,
        limit_checks: Sequence[LimitCheck],
        token: str,
        now: datetime,
    ) -> None:
        """Refuse a create whose number is held. Return if the record that holds it has been deleted meanwhile.

        A create of another requester counts against the address, its network and the client.
        """
        live = latest.verification
        if not live.requester.same_as(second.requester):
            # Count it first, so that a requester over the limit cannot contest the verification.
            counted = self._admission.count(limit_checks, token, now)
            # The record does not store the demand of its purpose.
            purpose = self._policy.purposes.get(live.requester.purpose, live.rules)
            if second.rules.demand.reaches(purpose.demand):
                try:
                    live = self._records.changed(latest, lambda record: record.contest(now), now)
                except NotFound:
                    self._admission.give_back(counted, token)
                    return
        until = live.busy_until(now) or now
        raise VerificationInProgress(retry_after=max(ceil((until - now).total_seconds()), 1))

    def _ask_for_captcha(self, request: CreateCommand, reserved: Verification, admitted: Admission) -> None:
        rule = self._policy.captcha
        # The provider checks captchas, and no provider hears of a test number.
        if (
            rule is None
            or reserved.test is not None
            or reserved.channel is not Channel.CODE
            or request.captcha is not None
        ):
            return
        # The client's own risk score decides: low skips the captcha, high demands it.
        if request.risk is Risk.LOW or not (admitted.crowded or request.risk is Risk.HIGH):
            return
        self._admission.give_back(admitted, reserved.id)
        raise CaptchaRequired(rule.image_url)

    def _ordered(self, reserved: Stored, admitted: Admission, captcha: Captcha | None) -> Verification:
        """Place the order or send the message, and open the window. If that fails, the number is free again."""
        begun, record, now = reserved, reserved.verification, self._clock()
        offer: PlacedOrder | TextIn | None = None
        try:
            match record.channel:
                case Channel.CALL:
                    offer = self._opening.order(record, now)
                case Channel.TEXT_IN:
                    offer = self._opening.ask_for_text(record)
                case Channel.CODE:
                    prepared = self._opening.prepare(record)
                    # Store the code before it is sent: its delivery report may come before the answer to the request.
                    noted = prepared.noted(record, now)
                    stored = self._store.commit(Change(reserved, noted, holding=True), now)
                    if stored is None:
                        detail = "The verification was changed meanwhile. Try again."
                        raise ProviderUnavailable(detail, retry_after=1)
                    begun = stored
                    self._opening.send(record, prepared, captcha)
            pending = self._shown(begun, offer, self._clock())
        except ProviderFailure as failure:
            self._failed(begun, failure, admitted)
            raise
        self._observer.started(pending)
        if pending.code is not None:
            self._observer.code_sent(pending)
        if pending.status is Status.CONTESTED:
            self._observer.contested(pending)
        return pending

    def _shown(self, begun: Stored, offer: PlacedOrder | TextIn | None, now: datetime) -> Verification:
        """Open the window of a record, with the number to dial or the text to send."""
        stored: Stored | None = begun
        for _ in range(CHANGE_ATTEMPTS):
            if stored is None or stored.verification.at(now).status is not Status.ORDERING:
                break
            pending = stored.verification.open_window(now)
            pending = (
                pending.show(offer) if isinstance(offer, PlacedOrder) else replace(pending, text_in=offer)
            )
            effects = self._records.effects.started(pending, now)
            if self._store.commit(Change(stored, pending, holding=True), now, effects):
                return pending
            stored = self._store.get(begun.verification.id)
        raise ProviderUnavailable("The provider's answer came too late.", retry_after=1)

    def _failed(self, stored: Stored, failure: ProviderFailure, admitted: Admission) -> None:
        """End a record whose order failed.

        Raises:
            Blocked: an operator has blocked the number meanwhile.
        """
        now, ended, record = self._clock(), None, stored.verification
        # The reservation may be gone if Redis failed over.
        with suppress(NotFound):
            ended = self._records.changed(stored, lambda current: current.fail(failure.reason, now), now)
        self._admission.give_back(admitted, record.id)
        if ended is not None and ended.reason is Reason.BY_OPERATOR:
            raise Blocked from failure
        failure.verification_id = record.id
