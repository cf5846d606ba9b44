"""A code as the second step."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.contract.channels.conftest import CALL, CODE, POLICY, Stage, whole
from tests.making import call_at
from waitcall.domain.channel import Assurance
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import WrongChannel
from waitcall.domain.limits import Mode
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Reason, Status


def test_two_steps_prove_more_than_either(stage: Stage) -> None:
    record = stage.start("two_steps")
    assert (record.channel, record.assurance) == (CALL, Assurance.ROUNDTRIP)
    with pytest.raises(WrongChannel):
        stage.channels.resend("web", record.id)
    call = call_at(stage.clock())
    assert stage.calls.record(call) is Outcome.CONFIRMED
    halfway = stage.now(record)
    assert (halfway.status, halfway.channel, halfway.code) == (Status.PENDING, CODE, None)
    assert halfway.called_at == whole(stage)
    assert not stage.sender.sent
    with pytest.raises(WrongChannel):
        stage.check(record, "123456")
    stage.clock.advance(5)
    assert stage.calls.record(call_at(stage.clock())) is Outcome.REPEATED

    stage.channels.resend("web", record.id)
    checked = stage.check(record)
    assert (checked.status, checked.reason) == (Status.VERIFIED, Reason.CODE_MATCHED)
    assert stage.observer.counts["verified",] == 1
    expected = {"started": 1, "first_step": 1, "code_sent": 1, "verified": 1}
    assert stage.audited() == Counter(expected)


def test_two_steps_are_one_verification_for_the_conversion_guard(stage: Stage) -> None:
    budget = ConversionBudget(Group.COUNTRY, mode=Mode.RECORD_ONLY)
    counting = Stage(
        stage.world,
        stage.provider,
        stage.sender,
        stage.observer,
        stage.clock,
        replace(POLICY, conversion=(budget,)),
    )
    record = counting.start("two_steps")
    counting.calls.record(call_at(stage.clock()))
    counting.channels.resend("web", record.id)
    counting.check(record)

    buckets = stage.world.conversions.buckets(budget, "RU")
    assert [(each.started, each.called) for each in buckets] == [(1, 1)]
