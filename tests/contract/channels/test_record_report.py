"""Delivery reports of codes."""

import pytest

from tests.contract.channels.conftest import Stage
from tests.making import NUMBER
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.errors import ProviderUnavailable
from waitcall.domain.status import Status


def test_a_late_failure_does_not_change_the_next_message(stage: Stage) -> None:
    record = stage.start("code")
    stage.clock.advance(30)

    def meanwhile() -> None:
        stage.sender.during = lambda: None
        stage.clock.advance(60)
        stage.channels.resend("web", record.id)

    stage.sender.failures, stage.sender.during = [ProviderUnavailable()], meanwhile
    with pytest.raises(ProviderUnavailable):
        stage.channels.resend("web", record.id)

    code = stage.now(record).code
    assert code is not None
    assert (len(code.digests), code.delivery, code.refused) == (3, CodeDelivery.QUEUED, False)


def test_reports_change_the_delivery_of_the_latest_message_only(stage: Stage) -> None:
    # The provider may report before its answer to the request arrives.
    stage.sender.during = lambda: stage.reported(CodeDelivery.QUEUED)
    record = stage.start("code")
    stage.reported(CodeDelivery.FAILED, "not_in_network")
    code = stage.now(record).code
    assert code is not None
    assert (code.delivery, code.delivery_reason) == (CodeDelivery.FAILED, "not_in_network")

    stage.sender.during = lambda: None
    stage.clock.advance(30)
    stage.channels.resend("web", record.id)
    # A report on the earlier message says nothing about the later one.
    stage.reported(CodeDelivery.DELIVERED, message=0)
    code = stage.now(record).code
    assert code is not None
    assert code.delivery is CodeDelivery.QUEUED
    stage.reported(CodeDelivery.DELIVERED)
    stage.reported(CodeDelivery.QUEUED)
    code = stage.now(record).code
    assert code is not None
    assert (code.delivery, code.delivery_reason) == (CodeDelivery.DELIVERED, None)
    assert stage.check(record).status is Status.VERIFIED


def test_a_report_that_overtakes_the_answer_is_kept(stage: Stage) -> None:
    stage.sender.during = lambda: stage.reported(CodeDelivery.DELIVERED)

    record = stage.start("code")

    assert record.code is not None
    assert record.code.delivery is CodeDelivery.DELIVERED


def test_a_report_on_an_unknown_message_is_accepted(stage: Stage) -> None:
    report = DeliveryReport(7, NUMBER.value, CodeDelivery.DELIVERED)
    stage.messages.record_report(report)
    assert stage.observer.counts["callback", "status", "other"] == 1
