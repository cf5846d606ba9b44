"""Transitions of a verification, as pure functions."""

from dataclasses import replace

import pytest
from waitcall.domain.call import InboundCall, Outcome
from waitcall.domain.channel import Channel
from waitcall.domain.errors import (
    AlreadyConsumed,
    AlreadyVerified,
    CodeMismatch,
    Contested,
    Expired,
    NotVerified,
    PurposeMismatch,
    ReferenceMismatch,
    ServiceError,
)
from waitcall.domain.matching import judge_call
from waitcall.domain.policy import OnConcurrent, Purpose
from waitcall.domain.requester import Requester
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

from tests.making import LOGIN, NOW, OTHER_NUMBER, call_at, opened, pending, seconds

SKEW = seconds(5)
CONTESTING = Purpose("login", on_concurrent=OnConcurrent.CONTEST)


def verified() -> Verification:
    outcome, record = judge_call(pending(), call_at(NOW), NOW, SKEW)
    assert outcome is Outcome.CONFIRMED
    return record


@pytest.mark.parametrize(
    ("call", "now", "outcome"),
    [
        (-5, 0, Outcome.CONFIRMED),
        (-6, 0, Outcome.EARLY),
        (0, 899, Outcome.CONFIRMED),
        (0, 900, Outcome.LATE),
        (899, 899, Outcome.CONFIRMED),
        (900, 899, Outcome.CONFIRMED),
        (901, 899, Outcome.LATE),
        (905, 900, Outcome.LATE),
        (15, 10, Outcome.CONFIRMED),
        (16, 10, Outcome.EARLY),
        (901, 5000, Outcome.LATE),
    ],
)
def test_a_call_counts_only_inside_its_window(call: int, now: int, outcome: Outcome) -> None:
    """``call`` and ``now`` are seconds after the creation. The window is 900 s, the skew 5 s."""
    judged, after = judge_call(pending(), call_at(NOW + seconds(call)), NOW + seconds(now), SKEW)

    assert judged is outcome
    assert (after.status is Status.VERIFIED) == (outcome is Outcome.CONFIRMED)


def test_a_late_call_says_so_on_the_record() -> None:
    _, after = judge_call(pending(), call_at(NOW + seconds(905)), NOW + seconds(905), SKEW)

    assert (after.status, after.reason) == (Status.EXPIRED, Reason.LATE_CALL)


def test_a_call_of_another_number_matches_nothing() -> None:
    assert judge_call(pending(), call_at(NOW, OTHER_NUMBER), NOW, SKEW) == (Outcome.UNMATCHED, pending())


def test_a_call_while_the_order_is_under_way_matches_nothing() -> None:
    """The number to call has not been shown yet."""
    assert judge_call(opened("ver_1"), call_at(NOW), NOW, SKEW)[0] is Outcome.UNMATCHED


@pytest.mark.parametrize("ended", [Status.CANCELED, Status.FAILED])
def test_a_call_to_an_ended_record_matches_nothing(ended: Status) -> None:
    assert judge_call(replace(pending(), status=ended), call_at(NOW), NOW, SKEW)[0] is Outcome.UNMATCHED


def test_second_call_in_window_is_repeated_not_confirmed() -> None:
    later = InboundCall(verified().phone_number.value, NOW + seconds(7))

    assert judge_call(verified(), later, NOW + seconds(7), SKEW) == (Outcome.REPEATED, verified())


def test_a_contested_record_is_not_verified_by_a_call() -> None:
    contested = pending(rules=CONTESTING).contest(NOW)

    assert contested.status is Status.CONTESTED
    assert judge_call(contested, call_at(NOW), NOW, SKEW) == (Outcome.CONTESTED, contested)


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


def test_without_a_reference_no_requester_is_the_same_as_another() -> None:
    nobody = Requester("web", "login", None)

    assert not nobody.same_as(nobody)
    assert Requester("web", "login", "a").same_as(Requester("web", "login", "a"))
    assert not Requester("web", "login", "a").same_as(Requester("app", "login", "a"))


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


def test_a_wrong_code_says_how_many_attempts_are_left() -> None:
    assert CodeMismatch(3).errors == {"code": ["Wrong. Attempts left: 3."]}
