"""Use cases of a pending verification: move it to another channel, send a code, check a code."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from secrets import token_hex

from waitcall.application.admission import AdmissionControl
from waitcall.application.open_channel import ChannelOpening, Prepared
from waitcall.application.ports import Clock, Stored
from waitcall.application.records import Records
from waitcall.domain.channel import Channel
from waitcall.domain.code import CodeSeals
from waitcall.domain.errors import (
    AlreadyVerified,
    Blocked,
    CodeMismatch,
    NoFallback,
    NotFound,
    ProviderFailure,
    ProviderUnavailable,
)
from waitcall.domain.policy import Policy
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

_Transition = Callable[[Verification], Verification]


class ChannelSteps:
    """The use cases fallback, resend and check. Every method may raise StoreUnavailable.

    An order or a message costs money, so the record is changed first, and only the request whose change was stored orders
    or sends. Of simultaneous requests one does so, and a process that dies has sent at most once.
    """

    def __init__(  # noqa: PLR0913  one parameter per port; the composition root names them all
        self,
        *,
        records: Records,
        admission: AdmissionControl,
        opening: ChannelOpening,
        seals: CodeSeals,
        clock: Clock,
        policy: Policy,
        order_seconds: int = 25,
    ) -> None:
        self._records = records
        self._observer = records.observer
        self._admission = admission
        self._opening = opening
        self._seals = seals
        self._clock = clock
        self._policy = policy
        self._order_seconds = order_seconds

    def fall_back(self, client: str, verification_id: str, to: Channel | None = None) -> Verification:
        """Move a verification to another channel.

        If it is on that channel already, nothing happens, except that a call whose order failed is ordered again.

        Args:
            client: name of the client that owns the verification.
            verification_id: id of the verification.
            to: a later channel of the purpose; None for the next one.

        Raises:
            NotFound, NoFallback, AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
            Blocked, RateLimited: for the same reasons as in a create.
            PhoneNumberNotAllowed: the channel proves less than the purpose demands.
            ProviderFailure: the verification is on the new channel, but its order or message failed.
        """
        now = self._clock()
        stored = self._records.found(client, verification_id, now)
        record = stored.verification
        if to is record.channel:
            return self._ordered_again(stored, now) if _lost_its_order(record, now) else record
        channel = to or record.next_channel
        if channel is None:
            raise NoFallback
        rules = self._policy.purposes.get(record.requester.purpose, record.rules)
        assurance = record.rules.assurance(channel, record.phone_number, self._policy.assurance)
        best = self._policy.best_assurance(record.rules, channel, record.phone_number)
        rules.check(record.phone_number, best, channel, test=record.test is not None)
        prepared = self._opening.prepare(record)

        def move(current: Verification) -> Verification:
            moved = current.fall_back(channel, assurance, now)
            match channel:
                case Channel.CALL:
                    return replace(moved, ordering_until=self._order_ends(now))
                case Channel.TEXT_IN:
                    return replace(moved, text_in=self._opening.ask_for_text(moved))
                case Channel.CODE:
                    return moved.send_again(prepared.digest, prepared.message_id, now)

        move(record)
        moved = self._charged(stored, channel, f"{record.id}/{prepared.message_id}", move, now)
        self._observer.fell_back(moved)
        if channel is Channel.CALL:
            return self._order(moved)
        return self._send(moved, prepared) if channel is Channel.CODE else moved

    def resend(self, client: str, verification_id: str) -> Verification:
        """Send another code; if a second step has just begun, send its first code.

        Raises:
            NotFound, WrongChannel, SendsSpent, AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
            PhoneNumberNotAllowed: codes are not sent to numbers of this type.
            Blocked
            RateLimited: the last code was sent too recently, or a limit refuses as in a create.
            ProviderFailure: the code was not sent; the client may ask again at once.
        """
        now = self._clock()
        stored = self._records.found(client, verification_id, now)
        record = stored.verification
        prepared = self._opening.prepare(record)

        def again(current: Verification) -> Verification:
            return current.send_again(prepared.digest, prepared.message_id, now)

        # Try it first, so that a resend which the record refuses does not count against the limits.
        again(record)
        sent = self._charged(stored, Channel.CODE, f"{record.id}/{prepared.message_id}", again, now)
        return self._send(sent, prepared)

    def check(self, client: str, verification_id: str, code: str) -> Verification:
        """Compare the code that the person typed with the codes that were sent, and verify the number if it is right.

        Raises:
            NotFound, WrongChannel, AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
            CodeMismatch: the code is wrong, which costs one attempt.
            Blocked: an operator has blocked the number; the verification is now canceled.
            RateLimited: too many wrong codes were typed for this number, over all of its verifications.
        """
        now = self._clock()
        stored = self._records.found(client, verification_id, now)
        digests = self._seals.seals(verification_id, code)
        correct, blocked = False, None

        def check(current: Verification) -> Verification:
            nonlocal correct, blocked
            correct, after = current.check_code(digests, now)
            proves = correct and current.is_live
            blocked = self._admission.blocking(current.phone_number, now) if proves else None
            return current.block(now) if blocked else after

        # Try it first, so that a check which the record refuses does not count against the limits.
        stored.verification.check_code(digests, now)
        # Count the check before comparing and uncount it unless the code is wrong. Otherwise simultaneous checks could
        # compare more codes than the limit allows.
        token = token_hex(12)
        limit_checks = self._admission.applicable.of_failed_check(stored.verification.phone_number)
        counted = self._admission.count(limit_checks, token, now)
        try:
            checked = self._records.changed(stored, check, now, anew=True, holding=True)
        except BaseException:
            self._admission.give_back(counted, token)
            raise
        if correct:
            self._admission.give_back(counted, token)
        if blocked is not None:
            raise blocked
        self._observer.code_checked(checked, correct=correct)
        if not correct:
            attempts = checked.code.attempts if checked.code else 0
            raise CodeMismatch(max(checked.rules.max_attempts - attempts, 0))
        return checked

    def _charged(
        self, stored: Stored, channel: Channel, token: str, transition: _Transition, now: datetime
    ) -> Verification:
        """Count the act against the limits, then store the transition. Uncount it if the transition cannot be stored."""
        admitted = self._admission.charge(stored.verification, channel, token, now)
        try:
            return self._records.changed(stored, transition, now, holding=True)
        except BaseException:
            self._admission.give_back(admitted, token)
            raise

    def _send(self, record: Verification, prepared: Prepared) -> Verification:
        try:
            self._opening.send(record, prepared)
        except ProviderFailure as failure:
            reason = failure.reason.value
            with suppress(NotFound):
                self._update(record, lambda current: _turned_down(current, prepared, reason))
            raise
        self._observer.code_sent(record)
        return record

    def _ordered_again(self, stored: Stored, now: datetime) -> Verification:
        # Each request has a token of its own, so that a request that loses does not give back what the winner counted.
        token = f"{stored.verification.id}/{self._opening.prepare(stored.verification).message_id}"

        def begin(current: Verification) -> Verification:
            if not _lost_its_order(current, now):
                raise AlreadyVerified if current.verified_at else ProviderUnavailable(retry_after=1)
            return replace(current.move(Channel.CALL, now), ordering_until=self._order_ends(now))

        return self._order(self._charged(stored, Channel.CALL, token, begin, now))

    def _order(self, record: Verification) -> Verification:
        """Order a number to dial. The window begins when the provider has given one."""
        try:
            placed = self._opening.order(record, self._clock())
        except ProviderFailure:
            with suppress(NotFound):
                self._update(record, lambda current: _ordered(current, record, None))
            raise
        now = self._clock()

        def show(current: Verification) -> Verification:
            opened = _ordered(current, record, now)
            return opened if opened is current else opened.show(placed)

        after = self._update(record, show)
        if after.reason is Reason.BY_OPERATOR:
            raise Blocked
        if (after.call_number, after.order) != (placed.call_number, placed.order):
            raise ProviderUnavailable("The provider's answer came too late.", retry_after=1)
        return after

    def _update(self, record: Verification, transition: _Transition) -> Verification:
        stored = self._records.store.get(record.id)
        if stored is None:
            raise NotFound
        return self._records.changed(stored, transition, self._clock(), holding=True)

    def _order_ends(self, now: datetime) -> datetime:
        return now.replace(microsecond=0) + timedelta(seconds=self._order_seconds + 1)


def _turned_down(current: Verification, prepared: Prepared, reason: str) -> Verification:
    code = current.code
    if code is None or code.message_id != prepared.message_id or current.status is not Status.PENDING:
        return current
    return replace(current, code=code.turned_down(reason))


def _lost_its_order(record: Verification, now: datetime) -> bool:
    waiting = (
        record.status is Status.PENDING and record.channel is Channel.CALL and record.call_number is None
    )
    return waiting and (record.ordering_until is None or now >= record.ordering_until)


def _ordered(current: Verification, begun: Verification, now: datetime | None) -> Verification:
    """Return the record after the order that was placed for ``begun`` has ended; unchanged if it has moved on meanwhile.

    ``now``: when the window begins (UTC); None if the order failed.
    """
    mine = current.channel is Channel.CALL and current.since == begun.since and current.call_number is None
    if not mine or current.status is not Status.PENDING:
        return current
    opened = current.move(Channel.CALL, now) if now else current
    return replace(opened, ordering_until=None)
