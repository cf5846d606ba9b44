"""A verification and its transitions: pure functions of the stored record and of the current time.

pending → verified → consumed; pending → expired | canceled | failed | contested; verified → lapsed;
contested → expired | canceled. A new record is ``ordering`` before it is pending; callers never see that status.
``expired`` and ``lapsed`` are reached by time alone, without a write: :meth:`Verification.at` derives them.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from waitcall.domain.channel import (
    Assurance,
    Attestation,
    Channel,
    PlacedOrder,
    Provider,
    ProviderOrder,
    TextIn,
)
from waitcall.domain.code import Code, DeliveryReport
from waitcall.domain.errors import (
    AlreadyConsumed,
    AlreadyVerified,
    AttemptsSpent,
    Contested,
    Expired,
    NoFallback,
    NotPending,
    NotVerified,
    PhoneNumberNotAllowed,
    PurposeMismatch,
    RateLimited,
    ReferenceMismatch,
    SendsSpent,
    WrongChannel,
)
from waitcall.domain.numbers import E164, may_get_codes
from waitcall.domain.policy import FixedOutcome, OnConcurrent, Purpose
from waitcall.domain.status import LIVE, Reason, Status

_MATCHED = {Channel.CALL: Reason.CALL_MATCHED, Channel.TEXT_IN: Reason.TEXT_MATCHED}
_UNANSWERED = {Channel.CALL: Reason.NO_CALL, Channel.TEXT_IN: Reason.NO_TEXT, Channel.CODE: Reason.NO_CODE}

ORDER_SLACK_SECONDS = 3
"""Seconds after an order's time limit at which the order is given up, because its process must have died."""


@dataclass(frozen=True, slots=True)
class Requester:
    """A client, a purpose and the client's reference. Two requests without a reference have different requesters."""

    client: str
    purpose: str
    reference: str | None = field(repr=False)

    def same_as(self, other: "Requester") -> bool:
        """Tell whether ``other`` is this requester again (contract, section 5.1)."""
        whose = (self.client, self.purpose) == (other.client, other.purpose)
        return bool(self.reference) and whose and _same(self.reference, other.reference)

    def check(self, purpose: str, reference: str | None) -> None:
        """Check, in constant time, that a proof is consumed for the purpose and reference that it was created for.

        Raises:
            PurposeMismatch, ReferenceMismatch
        """
        if not _same(self.purpose, purpose):
            raise PurposeMismatch
        if not _same(self.reference, reference):
            raise ReferenceMismatch


@dataclass(frozen=True, slots=True)
class Verification:
    """Record of one attempt to prove a phone number to a client. Times are UTC, in whole seconds.

    Attributes:
        status: as stored; ``at(now).status`` is the status at a given time.
        created_at: when the number was shown (while ordering: when it was asked for).
        expires_at: the first instant at which a call no longer counts.
        call_number: the number to dial; None until the provider has given one.
        purge_at: the record may be deleted from this time on.
        cooling_until: other requesters are refused until this time, because this record or the one before was verified.
        assurance: assurance that a proof gives, by the policy at the time of the create; that of the call once a call to one
            of our own numbers has verified.
        provider: the provider whose reports count; ``number_provider`` says who gave the number to dial.
        attestation: the attestation of the matched call, or of the call at ``weak_call_at``; None if its provider reports none.
        dialled: the number that the matched call went to; None if the provider did not say it.
        channel: the channel over which the person must prove the number now.
        since: when that channel was opened; None for the first channel.
        text_in: the text to send, and the number to send it to.
        code: the codes that were sent.
        order: the provider's order that gave ``call_number``; None if the provider reports callers and not orders.
        return_url: URL that the hosted page leads back to; None without a hosted page.
        called_at: when the first of two steps was done.
        weak_call_at: when the first call on the current channel came that was right but proved too little; None if none came.
        ordering_until: an order for this pending record is under way, and ends at this time at the latest.
        paid_by: keyed hashes of the end user's address by limit scope, so that later steps count against the same limits
            as the create.
        test: the fixed outcome, if this is a verification of a test number. No call, text or report changes it.
    """

    id: str
    requester: Requester
    phone_number: E164
    region: str
    status: Status
    reason: Reason | None
    window_seconds: int
    rules: Purpose
    created_at: datetime
    expires_at: datetime
    purge_at: datetime
    locale: str | None = None
    metadata: Mapping[str, str] | None = None
    call_number: E164 | None = None
    verified_at: datetime | None = None
    consumed_at: datetime | None = None
    cooling_until: datetime | None = None
    assurance: Assurance = Assurance.ASSERTED
    dialled: E164 | None = None
    contested_at: datetime | None = None
    consumed_by: str | None = None
    channel: Channel = Channel.CALL
    since: datetime | None = None
    text_in: TextIn | None = None
    code: Code | None = None
    called_at: datetime | None = None
    weak_call_at: datetime | None = None
    ordering_until: datetime | None = None
    provider: Provider = Provider.SMSC
    attestation: Attestation | None = None
    order: ProviderOrder | None = None
    return_url: str | None = None
    paid_by: Mapping[str, str] | None = None
    test: FixedOutcome | None = None

    def __repr__(self) -> str:
        return f"Verification({self.status}, {self.phone_number!r})"

    @classmethod
    def open(  # noqa: PLR0913  the fields of a new record
        cls,
        *,
        verification_id: str,
        requester: Requester,
        phone_number: E164,
        rules: Purpose,
        window_seconds: int,
        now: datetime,
        locale: str | None = None,
        metadata: Mapping[str, str] | None = None,
        assurance: Assurance = Assurance.ASSERTED,
        order_seconds: int = 25,
        channel: Channel = Channel.CALL,
        test: FixedOutcome | None = None,
    ) -> "Verification":
        """Return a new record whose order is under way. It holds the number until the order must have ended."""
        lease_end = _whole(now) + timedelta(seconds=order_seconds + ORDER_SLACK_SECONDS)
        return cls(
            id=verification_id,
            requester=requester,
            phone_number=phone_number,
            region=phone_number.region,
            status=Status.ORDERING,
            reason=None,
            window_seconds=window_seconds,
            rules=rules,
            created_at=_whole(now),
            expires_at=lease_end,
            purge_at=lease_end + timedelta(seconds=rules.retention_seconds),
            locale=locale,
            metadata=metadata,
            assurance=assurance,
            channel=channel,
            test=test,
        )

    @property
    def channel_since(self) -> datetime:
        """When the current channel was opened. Calls, texts and codes from before prove nothing."""
        return self.since or self.created_at

    @property
    def number_provider(self) -> Provider | None:
        """Provider that gave the number to dial; None if none did."""
        return self.provider if self.call_number is not None and self.test is None else None

    @property
    def next_channel(self) -> Channel | None:
        """Channel that a fallback leads to; None if the purpose allows none."""
        return next(iter(self.rules.channels_after(self.channel)), None)

    @property
    def result_until(self) -> datetime | None:
        """The first instant at which a verified result can no longer be consumed."""
        if self.verified_at is None:
            return None
        return self.verified_at + timedelta(seconds=self.rules.result_seconds)

    @property
    def outcome_at(self) -> datetime | None:
        """When the fixed outcome of a test number comes; None if it does not come by time alone."""
        if self.test is None or self.status is not Status.PENDING:
            return None
        if self.test.status is Status.VERIFIED and self.channel is Channel.CODE:
            return None
        return min(self.channel_since + timedelta(seconds=self.test.delay_seconds), self.expires_at)

    @property
    def next_deadline(self) -> datetime | None:
        """When the status will change by time alone; None if it never will."""
        if self.is_live:
            return self.outcome_at or self.expires_at
        return self.result_until if self.status is Status.VERIFIED else None

    @property
    def is_live(self) -> bool:
        """True while the stored status holds the number; ``at(now).is_live`` takes the time into account."""
        return self.status in LIVE

    def at(self, now: datetime) -> "Verification":
        """Return the record as it stands at ``now``, with the transitions that time alone causes."""
        outcome_at = self.outcome_at
        if outcome_at is not None and outcome_at <= now and outcome_at < self.expires_at:
            return self._with_fixed_outcome(outcome_at).at(now)
        if self.status is Status.ORDERING and now >= self.expires_at:
            return self._ended(Status.FAILED, Reason.PROVIDER_UNAVAILABLE, self.purge_at)
        if self.status in (Status.PENDING, Status.CONTESTED) and now >= self.expires_at:
            reason = Reason.WEAK_CALL if self.weak_call_at else _UNANSWERED[self.channel]
            return replace(self, status=Status.EXPIRED, reason=reason)
        if self.status is Status.VERIFIED and self.result_until is not None and now >= self.result_until:
            return replace(self, status=Status.LAPSED, reason=Reason.NOT_CONSUMED)
        return self

    def busy_until(self, now: datetime) -> datetime | None:
        """Return the time until which other requesters are refused the number; None if it is free."""
        current = self.at(now)
        if current.is_live:
            return current.expires_at
        return current.cooling_until if self.is_cooling(now) else None

    def is_cooling(self, now: datetime) -> bool:
        """Tell whether the number was verified so recently that the person may still be dialling a second time."""
        return self.cooling_until is not None and now < self.cooling_until

    def after(self, latest: "Verification", now: datetime) -> "Verification":
        """Return this new record with the remaining cooldown of ``latest``, the record that it replaces."""
        return replace(self, cooling_until=latest.cooling_until) if latest.is_cooling(now) else self

    def answers(self, requester: Requester, now: datetime) -> bool:
        """Tell whether ``requester`` gets this record again: pending, nothing matched yet, and no order under way."""
        ordering = self.ordering_until is not None and now < self.ordering_until
        untouched = self.at(now).status is Status.PENDING and self.called_at is None and not ordering
        return untouched and self.requester.same_as(requester)

    def may_be_succeeded_by(self, requester: Requester, now: datetime) -> bool:
        """Tell whether ``requester`` may start a new verification of this record's number."""
        same = not self.at(now).is_live and self.requester.same_as(requester)
        return same or self.busy_until(now) is None

    def open_window(self, now: datetime) -> "Verification":
        """Start the window: the person can begin. A record that was contested during the order becomes contested."""
        contested = self.contested_at is not None or self.reason is Reason.CONCURRENT_REQUEST
        now = _whole(now)
        expires_at = now + self._window
        return replace(
            self,
            status=Status.CONTESTED if contested else Status.PENDING,
            created_at=now,
            expires_at=expires_at,
            purge_at=expires_at + timedelta(seconds=self.rules.retention_seconds),
        )

    def fail(self, reason: Reason, now: datetime) -> "Verification":
        """End a live record whose order gave no number, so that the number is free. An ended record stays as it is."""
        return self._ended(Status.FAILED, reason, self._retained_from(now)) if self.is_live else self

    def contest(self, now: datetime) -> "Verification":
        """Note that another requester asked for the number. If the purpose says so, no call proves it from now on."""
        current = self.at(now)
        if self.rules.on_concurrent is not OnConcurrent.CONTEST:
            return self
        if current.status is Status.ORDERING:
            return replace(self, reason=Reason.CONCURRENT_REQUEST, contested_at=_whole(now))
        if current.status is Status.PENDING:
            reason, at = Reason.CONCURRENT_REQUEST, _whole(now)
            return replace(self, status=Status.CONTESTED, reason=reason, contested_at=at)
        return self

    def cancel(self, now: datetime, reason: Reason = Reason.BY_CLIENT) -> "Verification":
        """Cancel the verification. A canceled, failed or expired one is returned as it is.

        Raises:
            AlreadyVerified: the number has been proven.
        """
        current = self.at(now)
        if current.status in (Status.VERIFIED, Status.CONSUMED, Status.LAPSED):
            raise AlreadyVerified
        return self._ended(Status.CANCELED, reason, self._retained_from(now)) if current.is_live else current

    def block(self, now: datetime) -> "Verification":
        """End a live record, because an operator blocked its number. Any other record stays as it is."""
        current = self.at(now)
        return current.cancel(now, Reason.BY_OPERATOR) if current.is_live else current

    def consume(
        self, purpose: str, reference: str | None, now: datetime, redeemer: str | None = None
    ) -> "Verification":
        """Consume the proof. A repeated request with the same ``redeemer`` gets the consumed record again.

        Raises:
            PurposeMismatch, ReferenceMismatch: the create was made with another purpose or reference.
            NotVerified, Contested, AlreadyConsumed, Expired: the status does not allow it.
        """
        self.requester.check(purpose, reference)
        current = self.at(now)
        match current.status:
            case Status.VERIFIED:
                return replace(
                    current,
                    status=Status.CONSUMED,
                    consumed_at=_whole(now),
                    consumed_by=redeemer,
                    purge_at=self._retained_from(now),
                )
            case Status.CONSUMED if redeemer is not None and redeemer == self.consumed_by:
                return self
            case Status.CONSUMED:
                raise AlreadyConsumed
            case Status.CONTESTED:
                raise Contested
            case Status.EXPIRED | Status.LAPSED:
                raise Expired
            case _:
                raise NotVerified

    def move(self, channel: Channel, now: datetime) -> "Verification":
        """Return the record on another channel, with a new window."""
        expires_at = _whole(now) + self._window
        purge_at = expires_at + timedelta(seconds=self.rules.retention_seconds)
        return replace(
            self,
            channel=channel,
            since=_whole(now),
            expires_at=expires_at,
            purge_at=purge_at,
            weak_call_at=None,
            attestation=None,
        )

    def note_weak_call(self, now: datetime, attestation: Attestation | None = None) -> "Verification":
        """Return the record with its first call that was right but proved too little. It stays pending."""
        if self.weak_call_at:
            return self
        return replace(self, weak_call_at=_whole(now), attestation=attestation)

    def prove(self, reason: Reason, now: datetime, dialled: str | None = None) -> "Verification":
        """Return the record after a proof: verified, or moved to the second step that the purpose still requires."""
        rules = self.rules
        if rules.second_step is not None and self.channel is not rules.second_step:
            return replace(self.move(rules.second_step, now), called_at=_whole(now))
        now = _whole(now)
        lapse_end = now + timedelta(seconds=rules.result_seconds + rules.retention_seconds)
        cooled = now + timedelta(seconds=rules.cooldown_seconds)
        return replace(
            self,
            status=Status.VERIFIED,
            reason=reason,
            verified_at=now,
            dialled=E164(dialled) if dialled else None,
            cooling_until=cooled,
            purge_at=max(lapse_end, cooled),
        )

    def show(self, placed: PlacedOrder) -> "Verification":
        """Return the record, whose window has just begun, with the number to dial and the end of the provider's waiting."""
        listened = self.window_seconds if placed.window_seconds is None else placed.window_seconds
        early = timedelta(seconds=max(self.window_seconds - listened, 0))
        # Before the call to one of our own numbers, nothing vouches for the caller. A second step decides by itself.
        unknown = placed.provider is Provider.OWN and self.rules.second_step is None
        return replace(
            self,
            call_number=placed.call_number,
            provider=placed.provider,
            order=placed.order,
            assurance=Assurance.ASSERTED if unknown else self.assurance,
            expires_at=self.expires_at - early,
            purge_at=self.purge_at - early,
        )

    def check_code(self, digests: list[str], now: datetime) -> tuple[bool, "Verification"]:
        """Compare a typed code. Return whether it was right, and the changed record: proven, or with one attempt less.

        The right code is accepted on the last attempt, and again after it has proven the number.

        Args:
            digests: hashes of the typed code, one under each pepper.
            now: current time, UTC.

        Raises:
            WrongChannel, AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
        """
        code = self.code
        if self.at(now).status is Status.VERIFIED and code is not None and code.matches(digests):
            return True, self
        self._require_pending(now)
        if self.channel is not Channel.CODE or code is None:
            raise WrongChannel
        if code.matches(digests):
            return True, self.prove(Reason.CODE_MATCHED, now)
        tried = code.tried()
        poorer = replace(self, code=tried)
        if tried.attempts >= self.rules.max_attempts:
            return False, poorer.fail(Reason.ATTEMPTS_SPENT, now)
        return False, poorer

    def fall_back(self, channel: Channel, assurance: Assurance, now: datetime) -> "Verification":
        """Return the record on a later channel of its purpose. Calls or texts for the earlier one prove nothing any more.

        Raises:
            NoFallback: the purpose has no such later channel.
            AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
        """
        self._require_pending(now)
        if channel not in self.rules.channels_after(self.channel):
            raise NoFallback
        return replace(
            self.move(channel, now), assurance=assurance, call_number=None, order=None, text_in=None
        )

    def send_again(self, digest: str, message_id: int, now: datetime) -> "Verification":
        """Return the record with one more code that is about to be sent, or with the first one.

        Raises:
            WrongChannel, AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
            PhoneNumberNotAllowed: no code may be sent to this number.
            RateLimited: the code before was sent too recently.
            SendsSpent
        """
        self._require_pending(now)
        if self.channel is not Channel.CODE:
            raise WrongChannel
        if self.test is None and not may_get_codes(self.phone_number):
            raise PhoneNumberNotAllowed
        now = _whole(now)
        if self.code is None:
            return replace(self, code=Code((digest,), now, message_id))
        if len(self.code.digests) >= self.rules.max_sends:
            raise SendsSpent
        wait = self.code.resend_in(self.rules.resend_seconds, now)
        if wait > 0:
            raise RateLimited("The next code cannot be sent yet.", retry_after=wait)
        return replace(self, code=self.code.again(digest, message_id, now))

    def with_report(self, report: DeliveryReport) -> "Verification":
        """Return the record with the delivery status of the latest code; unchanged if the report says nothing new."""
        return replace(self, code=self.code.reported(report)) if self.code and self.test is None else self

    @property
    def _window(self) -> timedelta:
        expires = self.test is not None and self.test.status is Status.EXPIRED
        longest = self.test.delay_seconds if self.test and expires else self.window_seconds
        return timedelta(seconds=min(self.window_seconds, longest))

    def _with_fixed_outcome(self, at: datetime) -> "Verification":
        match self.test and self.test.status:
            case Status.VERIFIED:
                return self.prove(_MATCHED[self.channel], at)
            case Status.CONTESTED:
                reason = Reason.CONCURRENT_REQUEST
                return replace(self, status=Status.CONTESTED, reason=reason, contested_at=at)
            case _:
                return self._ended(Status.FAILED, Reason.PROVIDER_ERROR, self._retained_from(at))

    def _require_pending(self, now: datetime) -> None:
        match self.at(now).status:
            case Status.PENDING:
                return
            case Status.CONTESTED:
                raise Contested
            case Status.EXPIRED:
                raise Expired
            case Status.VERIFIED | Status.CONSUMED | Status.LAPSED:
                raise AlreadyVerified
            case Status.FAILED if self.reason is Reason.ATTEMPTS_SPENT:
                raise AttemptsSpent
            case _:
                raise NotPending

    def _ended(self, status: Status, reason: Reason, purge_at: datetime) -> "Verification":
        ordering = self.status is Status.ORDERING
        # While ordering, expires_at is the end of the order's lease. Show the window that was asked for instead.
        end = self.created_at + timedelta(seconds=self.window_seconds) if ordering else self.expires_at
        return replace(self, status=status, reason=reason, expires_at=end, purge_at=purge_at)

    def _retained_from(self, now: datetime) -> datetime:
        return max(now + timedelta(seconds=self.rules.retention_seconds), self.cooling_until or now)


def _whole(now: datetime) -> datetime:
    # The API shows whole seconds, and decisions must agree with the times that it shows.
    return now.replace(microsecond=0)


def _same(stored: str | None, given: str | None) -> bool:
    if stored is None or given is None:
        return stored is given
    return hmac.compare_digest(stored.encode(), given.encode())
