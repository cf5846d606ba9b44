"""Check of a typed code: attempts, refusals and limits."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.contract.channels.conftest import OURS, POLICY, Stage
from tests.making import NUMBER, call_at, together
from waitcall.application.create import CreateCommand
from waitcall.domain.channel import Assurance
from waitcall.domain.code import CodeDelivery
from waitcall.domain.errors import (
    AlreadyVerified,
    AttemptsSpent,
    CodeMismatch,
    Contested,
    Expired,
    NotFound,
    NotPending,
    RateLimited,
    VerificationInProgress,
    WrongChannel,
)
from waitcall.domain.limits import Limit, Scope
from waitcall.domain.matching import InboundText, Outcome
from waitcall.domain.status import Reason, Status


def test_a_code_that_is_typed_verifies(stage: Stage) -> None:
    record = stage.start("code", locale="ru-RU")
    ((to, text, message_id, captcha),) = stage.sender.sent
    assert (to, captcha) == (NUMBER, None)
    assert text == f"Ваш код: {stage.sender.code}."
    assert 1 <= message_id <= 2147483647
    assert record.assurance is Assurance.ROUNDTRIP
    assert record.code is not None
    assert record.code.delivery is CodeDelivery.QUEUED
    assert stage.sender.code not in repr(record)
    assert stage.sender.code not in str(record.code)

    checked = stage.check(record)
    assert (checked.status, checked.reason) == (Status.VERIFIED, Reason.CODE_MATCHED)
    # A client that got no answer may ask again.
    assert stage.check(record) == checked
    assert stage.verifications.consume("web", record.id, "code", "flow").status is Status.CONSUMED
    with pytest.raises(AlreadyVerified):
        stage.check(record)
    assert stage.audited() == Counter({"started": 1, "code_sent": 1, "verified": 1, "consumed": 1})


def test_a_call_or_a_text_does_not_verify_a_code(stage: Stage) -> None:
    record = stage.start("code")

    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED
    assert (
        stage.messages.record_text(InboundText(NUMBER.value, OURS.value, stage.sender.code)) is Outcome.OTHER
    )
    assert stage.now(record).status is Status.PENDING


def test_a_hundred_wrong_codes_spend_exactly_five_attempts(stage: Stage) -> None:
    record = stage.start("code")
    wrong = stage.wrong()

    results = Counter(type(each) for each in together(100, lambda _: stage.check(record, wrong)))

    assert results == {CodeMismatch: 5, AttemptsSpent: 95}
    after = stage.now(record)
    assert (after.status, after.reason) == (Status.FAILED, Reason.ATTEMPTS_SPENT)
    with pytest.raises(AttemptsSpent):
        stage.check(record)


def test_the_right_code_on_the_last_attempt_verifies(stage: Stage) -> None:
    record = stage.start("code")
    left = []
    for _ in range(4):
        with pytest.raises(CodeMismatch) as refused:
            stage.check(record, stage.wrong())
        left.append(refused.value.attempts_left)

    assert left == [4, 3, 2, 1]
    assert stage.check(record).status is Status.VERIFIED


def test_a_code_is_valid_for_its_own_verification_only(stage: Stage) -> None:
    stage.start("code")
    earlier = stage.sender.code
    stage.clock.advance(901)
    later = stage.start("code")
    while stage.sender.code == earlier:
        stage.clock.advance(901)
        later = stage.start("code")

    with pytest.raises(CodeMismatch):
        stage.check(later, earlier)
    with pytest.raises(NotFound):
        stage.channels.check("app", later.id, stage.sender.code)


def test_a_refused_check_gives_its_reason(stage: Stage) -> None:
    call = stage.start("every")
    with pytest.raises(WrongChannel):
        stage.check(call, "123456")
    with pytest.raises(WrongChannel):
        stage.channels.resend("web", call.id)
    stage.verifications.cancel("web", call.id)
    with pytest.raises(NotPending):
        stage.check(call, "123456")
    late = stage.start("code")
    stage.clock.advance(900)
    with pytest.raises(Expired):
        stage.check(late)
    contested = stage.start("code")
    with pytest.raises(VerificationInProgress):
        stage.verifications.start("app", CreateCommand(NUMBER.value, "code"))
    with pytest.raises(Contested):
        stage.check(contested)


def test_attempts_are_counted_over_all_codes(stage: Stage) -> None:
    record = stage.start("code")
    for _ in range(4):
        with pytest.raises(CodeMismatch):
            stage.check(record, stage.wrong())
    stage.clock.advance(30)
    stage.channels.resend("web", record.id)

    with pytest.raises(CodeMismatch):
        stage.check(record, stage.wrong())
    with pytest.raises(AttemptsSpent):
        stage.check(record)


def test_right_codes_do_not_count_for_the_limit_of_wrong_ones(stage: Stage) -> None:
    policy = replace(POLICY, limits={Scope.FAILED_CHECKS: (Limit(1, 600),)})
    limited = Stage(stage.world, stage.provider, stage.sender, stage.observer, stage.clock, policy)
    for _ in range(3):
        record = limited.start("code")
        assert limited.check(record).status is Status.VERIFIED
        limited.verifications.consume("web", record.id, "code", "flow")
        limited.clock.advance(60)
    record = limited.start("code")
    with pytest.raises(CodeMismatch):
        limited.check(record, limited.wrong())
    with pytest.raises(RateLimited):
        limited.check(record)
