"""Steps of a pending verification: show the number, change the channel, send a code, check a code."""

from dataclasses import replace
from datetime import datetime, timedelta

from waitcall.domain.assurance import Assurance
from waitcall.domain.channel import Channel
from waitcall.domain.code import Code, DeliveryReport
from waitcall.domain.errors import (
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
from waitcall.domain.numbers import may_get_codes
from waitcall.domain.order import PlacedOrder
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification


def shown(opened: Verification, placed: PlacedOrder) -> Verification:
    """Return the record, whose window has just begun, with the number to dial and the end of the provider's waiting."""
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
    """Compare a typed code. Return whether it was right, and the changed record: proven, or with one attempt less.

    The right code is accepted on the last attempt, and again after it has proven the number.

    Args:
        record: as stored.
        digests: hashes of the typed code, one under each pepper.
        now: current time, UTC.

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
    """Return the record on a later channel of its purpose. Calls or texts for the earlier one prove nothing any more.

    Raises:
        NoFallback: the purpose has no such later channel.
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
    """Return the record with one more code that is about to be sent, or with the first one.

    Raises:
        WrongChannel, AttemptsSpent, AlreadyVerified, Contested, Expired, NotPending
        PhoneNumberNotAllowed: no code may be sent to this number.
        RateLimited: the code before was sent too recently.
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
        raise RateLimited("The next code cannot be sent yet.", retry_after=wait)
    return replace(current, code=current.code.again(digest, message_id, now))


def with_report(record: Verification, report: DeliveryReport) -> Verification:
    """Return the record with the delivery status of the latest code; unchanged if the report says nothing new."""
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
