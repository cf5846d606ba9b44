"""A call verifies once, and only the verification it was made for."""

from collections import Counter

import pytest

from tests.contract.use_cases.conftest import ASK
from tests.making import NUMBER, call_at, seconds, together
from waitcall.application.create import CreateCommand
from waitcall.domain.errors import VerificationInProgress
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Reason, Status


def test_a_hundred_duplicates_of_one_call_confirm_once(service, clock, observer) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    call = call_at(clock())

    results = together(100, lambda _: calls.record(call))

    assert Counter({Outcome.CONFIRMED: 1, Outcome.REPEATED: 99}) == Counter(results)
    assert observer.counts["verified",] == 1


def test_a_hundred_different_calls_confirm_once(service, clock, observer) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    clock.advance(200)

    results = together(100, lambda index: calls.record(call_at(clock() - seconds(index))))

    assert Counter({Outcome.CONFIRMED: 1, Outcome.REPEATED: 99}) == Counter(results)
    assert observer.counts["verified",] == 1


def test_a_contest_takes_the_proof_from_the_call(service, clock) -> None:
    verifications, calls = service
    record = verifications.start("web", CreateCommand(NUMBER.value, "contested_login", "mine")).verification
    with pytest.raises(VerificationInProgress):
        verifications.start("web", CreateCommand(NUMBER.value, "contested_login", "theirs"))

    assert calls.record(call_at(clock())) is Outcome.CONTESTED
    assert verifications.get("web", record.id).reason is Reason.CONCURRENT_REQUEST
    clock.advance(900)
    assert verifications.get("web", record.id).status is Status.EXPIRED


def test_a_captured_call_never_verifies_a_later_verification(service, clock) -> None:
    verifications, calls = service
    first = verifications.start("web", ASK).verification
    captured = call_at(clock() + seconds(1))
    clock.advance(1)
    assert calls.record(captured) is Outcome.CONFIRMED
    verifications.consume("web", first.id, "login", "flow")
    second = verifications.start("web", ASK).verification

    assert second.created_at - seconds(5) <= captured.at
    assert calls.record(captured) is Outcome.REPEATED
    assert verifications.get("web", second.id).status is Status.PENDING


def test_a_call_that_matches_nothing_is_used_up_too(service, clock) -> None:
    verifications, calls = service
    call = call_at(clock())
    assert calls.record(call) is Outcome.UNMATCHED
    record = verifications.start("web", ASK).verification

    assert calls.record(call) is Outcome.REPEATED
    assert verifications.get("web", record.id).status is Status.PENDING


def test_a_call_ahead_of_the_clock_is_early_and_used_up(service, clock) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    ahead = call_at(clock() + seconds(60))

    assert calls.record(ahead) is Outcome.EARLY
    clock.advance(60)
    assert calls.record(ahead) is Outcome.REPEATED


def test_a_late_call_is_the_reason(service, clock, observer) -> None:
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    clock.advance(901)

    assert calls.record(call_at(clock())) is Outcome.LATE
    assert verifications.get("web", record.id).reason is Reason.LATE_CALL
    assert observer.counts["finished", "expired", "late_call"] == 1
