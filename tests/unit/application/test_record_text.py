"""Texts and delivery reports that come again, late, or of something unknown."""

import pytest

from tests.making import NUMBER
from tests.unit.application.contended import Stage, texted
from waitcall.application.operate import Subject
from waitcall.application.records import CHANGE_ATTEMPTS
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.errors import StoreUnavailable
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Reason, Status


def test_a_text_that_comes_again_is_counted_as_repeated(stage: Stage) -> None:
    made = texted(stage)
    assert stage.text(made) is Outcome.REPEATED
    counted = {key[2]: count for key, count in stage.observer.counts.items() if key[0] == "callback"}
    assert counted == {"confirmed": 1, "repeated": 1}
    assert stage.get(made).status is Status.VERIFIED


def test_a_blocked_number_is_verified_by_no_text_and_no_report(stage: Stage) -> None:
    acts = ((lambda: stage.start("text"), stage.text), (stage.ordering, lambda _: stage.reports_to()))
    for make, prove in acts:
        made = make()
        # The block is stored, but canceling the record loses every race, so the record is still pending.
        stage.store.lose("commit", CHANGE_ATTEMPTS)
        with pytest.raises(StoreUnavailable):
            stage.block()
        assert prove(made) is Outcome.UNMATCHED
        assert (stage.get(made).status, stage.get(made).reason) == (Status.CANCELED, Reason.BY_OPERATOR)
        stage.operator.unblock("ann", Subject(NUMBER.value), "over")


def test_a_delivery_report_of_an_unknown_message_changes_nothing(stage: Stage) -> None:
    for cli in (NUMBER.value, "+79991234568"):
        stage.messages.record_report(DeliveryReport(1, cli, CodeDelivery.DELIVERED))
    made = stage.start("code")
    stage.messages.record_report(DeliveryReport(-1, NUMBER.value, CodeDelivery.DELIVERED))
    assert stage.get(made).code == made.code
    assert stage.observer.counts["callback", "status", "other"] == 3
    assert not any(key[0] == "code_reported" for key in stage.observer.counts)
