"""Resend of a code."""

import pytest

from tests.contract.channels.conftest import Stage
from tests.making import together
from waitcall.domain.code import CodeDelivery
from waitcall.domain.errors import ProviderError, RateLimited, SendsSpent
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification


def test_a_second_code_waits_and_the_third_longer(stage: Stage) -> None:
    record = stage.start("code")
    first = stage.sender.code
    waits = []
    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            stage.channels.resend("web", record.id)
        waits.append(refused.value.retry_after)
        stage.clock.advance(refused.value.retry_after)
        stage.channels.resend("web", record.id)
    stage.clock.advance(600)
    with pytest.raises(SendsSpent):
        stage.channels.resend("web", record.id)

    assert waits == [30, 60, 120]
    assert len({message_id for *_, message_id, _ in stage.sender.sent}) == 4
    # The code of the first message, which may come late, still counts.
    assert stage.check(record, first).status is Status.VERIFIED


def test_one_of_simultaneous_resends_sends(stage: Stage) -> None:
    record = stage.start("code")
    stage.clock.advance(30)

    results = together(20, lambda _: stage.channels.resend("web", record.id))

    assert len(stage.sender.sent) == 2
    assert len([each for each in results if isinstance(each, Verification)]) == 1
    assert len([each for each in results if isinstance(each, RateLimited)]) == 19


def test_a_message_that_the_provider_refused_may_be_sent_again_at_once(stage: Stage) -> None:
    record = stage.start("code")
    stage.clock.advance(30)
    stage.sender.failures = [ProviderError()]
    with pytest.raises(ProviderError):
        stage.channels.resend("web", record.id)
    refused = stage.now(record).code
    assert refused is not None
    assert (refused.delivery, refused.delivery_reason) == (CodeDelivery.FAILED, "provider_error")

    assert stage.channels.resend("web", record.id).code is not None
    assert stage.check(record).status is Status.VERIFIED
    assert stage.audited()["code_sent"] == 3
    assert stage.audited()["code_refused"] == 1
