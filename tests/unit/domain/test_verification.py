"""A record, its requester and its transitions."""

from dataclasses import replace
from datetime import datetime

import pytest

from tests.making import LOGIN, NOW, call_at, opened, pending, seconds
from waitcall.domain.channel import Channel, PlacedOrder, Provider, ProviderOrder
from waitcall.domain.code import Code
from waitcall.domain.errors import (
    AlreadyConsumed,
    AlreadyVerified,
    Contested,
    Expired,
    NotVerified,
    PhoneNumberNotAllowed,
    PurposeMismatch,
    RateLimited,
    ReferenceMismatch,
    SendsSpent,
    ServiceError,
    WrongChannel,
)
from waitcall.domain.matching import Outcome, judge_call
from waitcall.domain.numbers import E164
from waitcall.domain.policy import OnConcurrent, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Requester, Verification

KEPT = seconds(LOGIN.retention_seconds)

SKEW = seconds(5)
CONTESTING = Purpose("login", on_concurrent=OnConcurrent.CONTEST)


def verified() -> Verification:
    outcome, record = judge_call(pending(), call_at(NOW), NOW, SKEW)
    assert outcome is Outcome.CONFIRMED
    return record


def test_a_contest_during_the_order_is_not_forgotten() -> None:
    assigned = opened("ver_1", rules=CONTESTING).contest(NOW).open_window(NOW)

    assert (assigned.status, assigned.reason) == (Status.CONTESTED, Reason.CONCURRENT_REQUEST)


def test_a_contest_changes_nothing_if_the_purpose_refuses_it() -> None:
    assert pending().contest(NOW) == pending()


def test_time_alone_expires_and_lapses() -> None:
    assert pending().at(NOW + seconds(899)).status is Status.PENDING
    assert pending().at(NOW + seconds(900)).reason is Reason.NO_CALL
    assert verified().at(NOW + seconds(299)).status is Status.VERIFIED
    assert verified().at(NOW + seconds(300)).reason is Reason.NOT_CONSUMED
    assert opened("ver_1").at(NOW + seconds(28)).status is Status.FAILED


@pytest.mark.parametrize(
    ("purpose", "reference", "refusal"),
    [
        ("reset", "flow", PurposeMismatch),
        ("reset", "other", PurposeMismatch),
        ("login", "other", ReferenceMismatch),
        ("login", None, ReferenceMismatch),
        ("login", "", ReferenceMismatch),
    ],
)
def test_a_proof_is_bound_to_purpose_and_reference(
    purpose: str, reference: str | None, refusal: type[ServiceError]
) -> None:
    with pytest.raises(refusal):
        verified().consume(purpose, reference, NOW)


def test_a_missing_reference_equals_a_missing_one() -> None:
    without = replace(verified(), requester=Requester("web", "login", None))

    assert without.consume("login", None, NOW).status is Status.CONSUMED
    with pytest.raises(ReferenceMismatch):
        without.consume("login", "flow", NOW)


@pytest.mark.parametrize(
    ("record", "now", "refusal"),
    [
        (pending(), NOW, NotVerified),
        (pending().cancel(NOW), NOW, NotVerified),
        (pending().fail(Reason.PROVIDER_ERROR, NOW), NOW, NotVerified),
        (pending(rules=CONTESTING).contest(NOW), NOW, Contested),
        (verified().consume("login", "flow", NOW), NOW, AlreadyConsumed),
        (verified(), NOW + seconds(300), Expired),
        (pending(), NOW + seconds(900), Expired),
    ],
)
def test_only_a_verified_record_is_consumed(
    record: Verification, now: object, refusal: type[ServiceError]
) -> None:
    with pytest.raises(refusal):
        record.consume("login", "flow", now)


def test_cancel_ends_a_live_record_and_leaves_an_ended_one() -> None:
    contested = pending(rules=CONTESTING).contest(NOW)
    expired = pending().at(NOW + seconds(900))

    assert pending().cancel(NOW).reason is Reason.BY_CLIENT
    assert contested.cancel(NOW).status is Status.CANCELED
    assert expired.cancel(NOW) == expired
    for record in (verified(), verified().consume("login", "flow", NOW)):
        with pytest.raises(AlreadyVerified):
            record.cancel(NOW)


def test_a_verified_record_keeps_its_number_for_the_cooldown_only() -> None:
    assert verified().busy_until(NOW + seconds(29)) == NOW + seconds(30)
    assert verified().busy_until(NOW + seconds(30)) is None
    consumed = verified().consume("login", "flow", NOW + seconds(1))
    assert consumed.busy_until(NOW + seconds(29)) == NOW + seconds(30)


def test_a_failed_record_shows_the_window_that_was_asked_for() -> None:
    """The end of the shown window is not that of the order's lease, which is shorter."""
    died = opened("ver_1").at(NOW + seconds(28))
    failed = opened("ver_1").fail(Reason.PROVIDER_ERROR, NOW + seconds(3))

    assert {NOW + seconds(900)} == {died.expires_at, failed.expires_at}
    assert died.at(NOW + seconds(900)) == died


def test_times_are_whole_seconds_so_that_the_shown_deadline_is_the_real_one() -> None:
    fraction = NOW + seconds(0.75)
    record = opened("ver_1", now=fraction).open_window(fraction)

    assert record.created_at == NOW
    assert record.at(NOW + seconds(900)).status is Status.EXPIRED


def test_the_repr_of_a_record_shows_no_number() -> None:
    assert "1234567" not in repr(pending())
    assert "1234567" not in repr(call_at(NOW))


@pytest.mark.parametrize(("cooldown", "kept"), [(1000, 1000), (10, 65), (0, 65)])
def test_a_consumed_record_is_kept_for_its_cooldown(cooldown: int, kept: int) -> None:
    rules = Purpose("login", cooldown_seconds=cooldown, retention_seconds=60)
    record = pending(rules=rules).prove(Reason.CALL_MATCHED, NOW)
    assert record.consume("login", "flow", NOW + seconds(5)).purge_at == NOW + seconds(kept)
    assert record.purge_at == NOW + seconds(max(cooldown, 360))


def test_a_record_is_kept_for_its_retention_after_its_deadline() -> None:
    kept = seconds(LOGIN.retention_seconds)
    ordering = opened("ver_1")
    assert ordering.purge_at == ordering.expires_at + kept
    moved = pending().move(Channel.CODE, NOW + seconds(60))
    assert (moved.expires_at, moved.purge_at) == (NOW + seconds(960), NOW + seconds(960) + kept)


def test_a_window_is_open_for_its_seconds_and_the_record_kept_for_its_retention() -> None:
    record = opened("ver_1", now=NOW - seconds(20)).open_window(NOW)
    assert (record.created_at, record.expires_at, record.purge_at) == (
        NOW,
        NOW + seconds(900),
        NOW + seconds(900) + KEPT,
    )


def test_an_ended_record_is_kept_from_its_end() -> None:
    at = NOW + seconds(60)
    assert pending().cancel(at).purge_at == at + KEPT
    assert opened("ver_1").fail(Reason.PROVIDER_ERROR, at).purge_at == at + KEPT


def test_a_new_verification_takes_over_the_cooldown_of_the_one_before() -> None:
    proven = pending().prove(Reason.CALL_MATCHED, NOW)
    cooled = proven.cooling_until
    assert cooled is not None
    assert opened("ver_2").after(proven, NOW).cooling_until == cooled
    assert opened("ver_2").after(proven, cooled).cooling_until is None


def test_the_same_requester_gets_the_record_from_the_moment_its_order_has_ended() -> None:
    record = replace(pending(), ordering_until=NOW + seconds(26))
    assert not record.answers(record.requester, NOW + seconds(25))
    assert record.answers(record.requester, NOW + seconds(26))


def test_without_a_reference_no_requester_is_the_same_as_another() -> None:
    nobody = Requester("web", "login", None)

    assert not nobody.same_as(nobody)
    assert Requester("web", "login", "a").same_as(Requester("web", "login", "a"))
    assert not Requester("web", "login", "a").same_as(Requester("app", "login", "a"))


ORDER = ProviderOrder("smsru", "1")
OURS = E164("+79585550000")

CODE = Code(("one",), NOW, 7)


def on_code(**changes: object) -> Verification:
    return replace(pending(), **{"channel": Channel.CODE, "code": CODE, **changes})


def test_a_code_is_refused_after_a_call_has_verified_the_record() -> None:
    with pytest.raises(AlreadyVerified):
        pending().prove(Reason.CALL_MATCHED, NOW).check_code(["one"], NOW)


def test_after_the_proof_the_right_code_is_accepted_again_and_a_wrong_one_is_refused() -> None:
    proven = on_code().prove(Reason.CODE_MATCHED, NOW)
    assert proven.check_code(["one"], NOW) == (True, proven)
    with pytest.raises(AlreadyVerified):
        proven.check_code(["two"], NOW)


def test_a_code_is_refused_on_another_channel_or_before_one_was_sent() -> None:
    for record in (pending(), on_code(channel=Channel.CALL), on_code(code=None)):
        with pytest.raises(WrongChannel):
            record.check_code(["one"], NOW)


def test_the_last_attempt_may_still_be_right_and_a_wrong_one_ends_it() -> None:
    last = on_code(code=replace(CODE, attempts=4))
    assert last.check_code(["one"], NOW)[1].status is Status.VERIFIED
    correct, after = last.check_code(["two"], NOW)
    assert (correct, after.status, after.reason) == (False, Status.FAILED, Reason.ATTEMPTS_SPENT)
    correct, after = on_code(code=replace(CODE, attempts=3)).check_code(["two"], NOW)
    assert (correct, after.status) == (False, Status.PENDING)


def test_no_more_codes_are_sent_than_the_purpose_allows_and_none_to_a_landline() -> None:
    rules = Purpose("login", max_sends=2)
    second = on_code(rules=rules).send_again("two", 8, NOW + seconds(30))
    assert second.code is not None
    assert second.code.digests == ("one", "two")
    with pytest.raises(SendsSpent):
        second.send_again("three", 9, NOW + seconds(800))
    landline = replace(on_code(), phone_number=E164("+74951234567"))
    with pytest.raises(PhoneNumberNotAllowed):
        landline.send_again("two", 8, NOW + seconds(30))


@pytest.mark.parametrize(("listens", "ends"), [(None, 900), (300, 300), (900, 900), (1200, 900)])
def test_the_window_ends_when_the_provider_stops_listening(listens: int | None, ends: int) -> None:
    record = opened("ver_1").open_window(NOW).show(PlacedOrder(OURS, ORDER, listens, Provider.SMSRU))
    assert (record.expires_at, record.purge_at) == (NOW + seconds(ends), NOW + seconds(ends) + KEPT)
    assert (record.call_number, record.order) == (OURS, ORDER)


def coding(now: datetime = NOW) -> Verification:
    on_code = replace(pending(), channel=Channel.CODE, call_number=None)
    return on_code.send_again("digest", 1, now)


def test_the_next_code_may_be_sent_from_the_second_that_the_last_one_said() -> None:
    first = coding()
    with pytest.raises(RateLimited) as early:
        first.send_again("other", 2, NOW + seconds(LOGIN.resend_seconds - 1))
    assert early.value.retry_after == 1
    assert first.send_again("other", 2, NOW + seconds(LOGIN.resend_seconds)).code is not None


def test_a_code_is_kept_as_sent_at_whole_seconds() -> None:
    code = coding(NOW + seconds(0.7)).code
    assert code is not None
    assert (code.sent_at, code.digests, code.message_id) == (NOW, ("digest",), 1)
