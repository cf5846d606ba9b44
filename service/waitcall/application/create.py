"""Create a verification: check the request, hold the number, order a number to call or send a code."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from waitcall.application.admission import Admission, AdmissionControl
from waitcall.application.effects import TransitionEffects
from waitcall.application.observer import Observer
from waitcall.application.open_channel import ChannelOpening, Opened
from waitcall.application.ports import (
    Change,
    Clock,
    CreationContext,
    Stored,
    VerificationStore,
)
from waitcall.application.records import CHANGE_ATTEMPTS, Records
from waitcall.application.reserve import Reservations
from waitcall.domain.channel import Captcha, Channel
from waitcall.domain.errors import (
    Blocked,
    CaptchaRequired,
    NotFound,
    ProviderFailure,
    ProviderUnavailable,
    PurposeNotAllowed,
    RateLimited,
    RecordUnreadable,
    ValidationFailed,
    VerificationInProgress,
)
from waitcall.domain.hosted_page import check_return_url
from waitcall.domain.limits import LimitState
from waitcall.domain.numbers import E164
from waitcall.domain.policy import SHORTEST_WINDOW_SECONDS, Client, Policy, Purpose
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
        store: VerificationStore,
        admission: AdmissionControl,
        effects: TransitionEffects,
        opening: ChannelOpening,
        observer: Observer,
        clock: Clock,
        policy: Policy,
        default_window_seconds: int,
        order_seconds: int = 25,
    ) -> None:
        self._store = store
        self._records = Records(store, observer, effects)
        self._admission = admission
        self._reservations = Reservations(store, self._records, admission, policy.purposes)
        self._effects = effects
        self._opening = opening
        self._observer = observer
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
        client = self._policy.clients[client_name]
        purpose, now = self._purpose(client, request), self._clock()
        number = E164.parse(request.phone_number, client.default_region)
        channel = self._channel(purpose, request.channel)
        assurance = purpose.assurance(channel, number.region, self._policy.assurance)
        purpose.check(number, assurance, channel)
        context = self._context(number)
        screened = self._admission.screen(number, request.client_ip, context.directory, now)
        address, return_url = request.client_ip, self._return_url(client, request)
        limit_checks = self._admission.checks_of_create(number, address, client.name, screened, channel)
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
            channel=channel,
        )
        seals = self._admission.seals(number, address, screened)
        opened = replace(opened, return_url=return_url, paid_by=seals)
        reserved, over = self._reservations.reserve(opened, context, screened, limit_checks, address, now)
        if isinstance(reserved, Verification):
            return Created(reserved, created=False)
        try:
            admitted = self._admission.judge(limit_checks, reserved.limit_result)
            self._ask_for_captcha(request, reserved.stored.verification, admitted)
        except (RateLimited, CaptchaRequired):
            self._store.release(reserved.stored, over, now)
            raise
        record = self._ordered(reserved.stored, admitted, request.captcha)
        return Created(record, created=True, limits=admitted.limits)

    def _context(self, number: E164) -> CreationContext:
        try:
            return self._store.creation_context(number.value, self._admission.groups(number))
        except RecordUnreadable as error:
            # The unreadable record may be live and belong to another requester, so refuse.
            raise VerificationInProgress(retry_after=error.retry_after) from error

    def _purpose(self, client: Client, request: CreateCommand) -> Purpose:
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

    def _return_url(self, client: Client, request: CreateCommand) -> str | None:
        return request.return_url and check_return_url(request.return_url, client.return_origins)

    def _channel(self, purpose: Purpose, asked: str | None) -> Channel:
        if asked is None:
            return purpose.channels[0]
        if asked not in purpose.channels:
            raise ValidationFailed.of("channel", f"This purpose allows {', '.join(purpose.channels)}.")
        return Channel(asked)

    def _ask_for_captcha(self, request: CreateCommand, opened: Verification, admitted: Admission) -> None:
        rule = self._policy.captcha
        if rule is None or opened.channel is not Channel.CODE or request.captcha is not None:
            return
        # The client's own risk score decides: low skips the captcha, high demands it.
        if request.risk is Risk.LOW or not (admitted.crowded or request.risk is Risk.HIGH):
            return
        self._admission.give_back(admitted, opened.id)
        raise CaptchaRequired(rule.image_url)

    def _ordered(self, reserved: Stored, admitted: Admission, captcha: Captcha | None) -> Verification:
        """Place the order or send the message, and open the window. If that fails, the number is free again."""
        begun: Stored | None = reserved
        record, now = reserved.verification, self._clock()
        prepared = self._opening.prepare(record) if record.channel is Channel.CODE else None
        try:
            if prepared is not None:
                # Store the code before it is sent: its delivery report may come before the answer to the request.
                begun = self._store.commit(Change(reserved, prepared.noted(record, now), holding=True), now)
            if begun is None:
                raise ProviderUnavailable("The verification was changed meanwhile. Try again.", retry_after=1)
            opened = self._opening.open(record, prepared, captcha, now)
            pending = self._assign(begun, opened, self._clock())
        except ProviderFailure as failure:
            now, reason, ended = self._clock(), failure.reason, None
            # The reservation may be gone if Redis failed over.
            with suppress(NotFound):
                ended = self._records.changed(
                    begun or reserved, lambda current: current.fail(reason, now), now
                )
            self._admission.give_back(admitted, record.id)
            if ended is not None and ended.reason is Reason.BY_OPERATOR:
                raise Blocked from failure
            failure.verification_id = record.id
            raise
        self._observer.started(pending)
        if pending.code is not None:
            self._observer.code_sent(pending)
        if pending.status is Status.CONTESTED:
            self._observer.contested(pending)
        return pending

    def _assign(self, reserved: Stored, opened: Opened, now: datetime) -> Verification:
        stored: Stored | None = reserved
        for _ in range(CHANGE_ATTEMPTS):
            if stored is None or stored.verification.at(now).status is not Status.ORDERING:
                break
            pending = opened.shown(stored.verification.open_window(now))
            effects = self._effects.started(pending, now)
            if self._store.commit(Change(stored, pending, holding=True), now, effects):
                return pending
            stored = self._store.get(reserved.verification.id)
        raise ProviderUnavailable("The provider's answer came too late.", retry_after=1)
