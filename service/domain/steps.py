"""What a client asks of a pending verification on its way: another channel, another code, a check."""

from dataclasses import replace
from datetime import datetime, timedelta

from service.domain.assurance import Assurance
from service.domain.channel import Channel
from service.domain.code import Code, DeliveryReport
from service.domain.errors import (
    AlreadyVerified,
    AttemptsSpent,
    Contested,
    Expired,
    NoFallback,
    NotPending,
    PhoneNumberNotAllowed,
    RateLimited,
    SendsSpent,
    WrongChannel,
)
from service.domain.numbers import may_get_codes
from service.domain.order import PlacedOrder
from service.domain.status import Reason, Status
from service.domain.verification import Verification


def shown(opened: Verification, placed: PlacedOrder) -> Verification:
    """The record whose window has just begun, with the number to dial; it ends when the provider stops listening."""
    listened = opened.window_seconds if placed.window_seconds is None else placed.window_seconds
    early = timedelta(seconds=max(opened.window_seconds - listened, 0))
    return replace(
        opened,
        call_number=placed.call_number,
        order=placed.order,
        expires_at=opened.expires_at - early,
        purge_at=opened.purge_at - early,
    )


def check_code(record: Verification, digests: list[str], now: datetime) -> tuple[bool, Verification]:
    """Whether the person typed a code that was sent, and the record after it: proven, or one attempt poorer.

    The right code counts on the last attempt too, and again once it has proven the number.

    Args:
        record: as stored.
        digests: of what was typed, under each key.
        now: UTC.

    Raises:
        WrongChannel, AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
    """
    current = record.at(now)
    code = current.code
    if current.status is Status.VERIFIED and code is not None and code.matches(digests):
        return True, record
    _still_pending(current)
    if current.channel is not Channel.CODE or code is None:
        raise WrongChannel
    if code.matches(digests):
        return True, current.prove(Reason.CODE_MATCHED, now)
    poorer = replace(current, code=code.tried())
    if poorer.code is not None and poorer.code.attempts >= current.rules.max_attempts:
        return False, poorer.fail(Reason.ATTEMPTS_SPENT, now)
    return False, poorer


def fall_back(record: Verification, channel: Channel, assurance: Assurance, now: datetime) -> Verification:
    """The record on a later channel of its purpose. What the earlier one asked for proves nothing any more.

    Raises:
        NoFallback: not a later channel.
        AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
    """
    current = record.at(now)
    _still_pending(current)
    if channel not in current.rules.channels_after(current.channel):
        raise NoFallback
    return replace(
        current.move(channel, now), assurance=assurance, call_number=None, order=None, text_in=None
    )


def send_again(record: Verification, digest: str, message_id: int, now: datetime) -> Verification:
    """The record as it stands while another code is on its way; the first, where the step has just begun.

    Raises:
        WrongChannel, AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
        PhoneNumberNotAllowed: no code is sent to such a number.
        RateLimited: too soon.
        SendsSpent
    """
    current = record.at(now)
    _still_pending(current)
    if current.channel is not Channel.CODE:
        raise WrongChannel
    if not may_get_codes(current.phone_number):
        raise PhoneNumberNotAllowed
    now = now.replace(microsecond=0)
    if current.code is None:
        return replace(current, code=Code((digest,), now, message_id))
    if len(current.code.digests) >= current.rules.max_sends:
        raise SendsSpent
    wait = current.code.resend_in(current.rules.resend_seconds, now)
    if wait > 0:
        raise RateLimited("The next code may be sent later.", retry_after=wait)
    return replace(current, code=current.code.again(digest, message_id, now))


def with_report(record: Verification, report: DeliveryReport) -> Verification:
    """The record with what the provider says of the latest code; unchanged where it says nothing new."""
    return replace(record, code=record.code.reported(report)) if record.code else record


def _still_pending(current: Verification) -> None:
    match current.status:
        case Status.PENDING:
            return
        case Status.CONTESTED:
            raise Contested
        case Status.EXPIRED:
            raise Expired
        case Status.VERIFIED | Status.CONSUMED | Status.LAPSED:
            raise AlreadyVerified
        case Status.FAILED if current.reason is Reason.ATTEMPTS_SPENT:
            raise AttemptsSpent
        case _:
            raise NotPending
