"""Steps that a client may take on a record in one channel and status, and not in others."""

from dataclasses import replace
from datetime import datetime

import pytest

from tests.making import LOGIN, NOW, opened, pending, seconds
from waitcall.domain.channel import Channel
from waitcall.domain.code import Code
from waitcall.domain.errors import (
    AlreadyVerified,
    PhoneNumberNotAllowed,
    RateLimited,
    SendsSpent,
    WrongChannel,
)
from waitcall.domain.numbers import E164
from waitcall.domain.order import PlacedOrder, ProviderOrder
from waitcall.domain.policy import Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.steps import check_code, send_again, shown
from waitcall.domain.verification import Verification

KEPT = seconds(LOGIN.retention_seconds)
ORDER = ProviderOrder("smsru", "1")
OURS = E164("+79585550000")

SHOWN = E164("+79585551234")
CODE = Code(("one",), NOW, 7)


def on_code(**changes: object) -> Verification:
    return replace(pending(), **{"channel": Channel.CODE, "code": CODE, **changes})


def test_a_code_is_refused_after_a_call_has_verified_the_record() -> None:
    with pytest.raises(AlreadyVerified):
        check_code(pending().prove(Reason.CALL_MATCHED, NOW), ["one"], NOW)


def test_after_the_proof_the_right_code_is_accepted_again_and_a_wrong_one_is_refused() -> None:
    proven = on_code().prove(Reason.CODE_MATCHED, NOW)
    assert check_code(proven, ["one"], NOW) == (True, proven)
    with pytest.raises(AlreadyVerified):
        check_code(proven, ["two"], NOW)


def test_a_code_is_refused_on_another_channel_or_before_one_was_sent() -> None:
    for record in (pending(), on_code(channel=Channel.CALL), on_code(code=None)):
        with pytest.raises(WrongChannel):
            check_code(record, ["one"], NOW)


def test_the_last_attempt_may_still_be_right_and_a_wrong_one_ends_it() -> None:
    last = on_code(code=replace(CODE, attempts=4))
    assert check_code(last, ["one"], NOW)[1].status is Status.VERIFIED
    correct, after = check_code(last, ["two"], NOW)
    assert (correct, after.status, after.reason) == (False, Status.FAILED, Reason.ATTEMPTS_SPENT)
    correct, after = check_code(on_code(code=replace(CODE, attempts=3)), ["two"], NOW)
    assert (correct, after.status) == (False, Status.PENDING)


def test_no_more_codes_are_sent_than_the_purpose_allows_and_none_to_a_landline() -> None:
    rules = Purpose("login", max_sends=2)
    second = send_again(on_code(rules=rules), "two", 8, NOW + seconds(30))
    assert second.code is not None
    assert second.code.digests == ("one", "two")
    with pytest.raises(SendsSpent):
        send_again(second, "three", 9, NOW + seconds(800))
    landline = replace(on_code(), phone_number=E164("+74951234567"))
    with pytest.raises(PhoneNumberNotAllowed):
        send_again(landline, "two", 8, NOW + seconds(30))


@pytest.mark.parametrize(("listens", "ends"), [(None, 900), (600, 600), (900, 900), (1200, 900)])
def test_the_window_ends_when_the_provider_stops_listening(listens: int | None, ends: int) -> None:
    window = opened("ver_1").open_window(NOW)
    record = shown(window, PlacedOrder(SHOWN, window_seconds=listens))
    assert record.expires_at == NOW + seconds(ends)
    assert window.purge_at - record.purge_at == window.expires_at - record.expires_at
    assert record.call_number == SHOWN


@pytest.mark.parametrize(("listened", "lasts"), [(None, 900), (900, 900), (300, 300), (1200, 900)])
def test_a_window_ends_with_the_providers_and_never_later(listened: int | None, lasts: int) -> None:
    record = shown(opened("ver_1").open_window(NOW), PlacedOrder(OURS, ORDER, listened))
    assert (record.expires_at, record.purge_at) == (NOW + seconds(lasts), NOW + seconds(lasts) + KEPT)


def coding(now: datetime = NOW) -> Verification:
    on_code = replace(pending(), channel=Channel.CODE, call_number=None)
    return send_again(on_code, "digest", 1, now)


def test_the_next_code_may_be_sent_from_the_second_that_the_last_one_said() -> None:
    first = coding()
    with pytest.raises(RateLimited) as early:
        send_again(first, "other", 2, NOW + seconds(LOGIN.resend_seconds - 1))
    assert early.value.retry_after == 1
    assert send_again(first, "other", 2, NOW + seconds(LOGIN.resend_seconds)).code is not None


def test_a_code_is_kept_as_sent_at_whole_seconds() -> None:
    code = coding(NOW + seconds(0.7)).code
    assert code is not None
    assert (code.sent_at, code.digests, code.message_id) == (NOW, ("digest",), 1)
