"""Transitions of a verification, as pure functions."""

from dataclasses import replace

import pytest

from tests.making import LOGIN, NOW, call_at, opened, pending, seconds
from waitcall.domain.call import Outcome
from waitcall.domain.channel import Channel
from waitcall.domain.errors import (
    AlreadyConsumed,
    AlreadyVerified,
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
