"""Channels, texts and order reports try again when another process changes a record first, and give up in the end."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.making import NUMBER
from tests.unit.application.contended import Stage, texted
from waitcall.application.records import CHANGE_ATTEMPTS
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.errors import StoreUnavailable
from waitcall.domain.verification import Verification


def reported(stage: Stage) -> Verification:
    made = stage.ordering()
    stage.reports_to()
    return made


def delivered(stage: Stage, made: Verification) -> bool:
    code = made.code
    assert code is not None
    stage.messages.record_report(DeliveryReport(code.message_id, NUMBER.value, CodeDelivery.DELIVERED))
    return stage.observer.counts["code_reported", "delivered"] == 1


ACTS: dict[str, tuple[str, Callable[[Stage], Verification], Callable[[Stage, Verification], Any]]] = {
    "text": ("commit", lambda stage: stage.start("text"), lambda stage, made: stage.text(made)),
    "text again": ("confirm", texted, lambda stage, made: stage.text(made)),
    "report": ("commit", Stage.ordering, lambda stage, _: stage.reports_to()),
    "report again": ("confirm", reported, lambda stage, _: stage.reports_to()),
    "delivery": ("commit", lambda stage: stage.start("code"), delivered),
    "check": (
        "commit",
        lambda stage: stage.start("code"),
        lambda stage, made: stage.channels.check("web", made.id, stage.sender.code),
    ),
    "fallback": ("commit", Stage.start, lambda stage, made: stage.channels.fall_back("web", made.id)),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_change_is_tried_again_up_to_the_last_attempt(stage: Stage, act: str) -> None:
    kind, prepare, do = ACTS[act]
    made = prepare(stage)
    stage.store.lose(kind, CHANGE_ATTEMPTS - 1)
    assert do(stage, made)
    assert stage.store.losses == 0


@pytest.mark.parametrize("act", ACTS)
def test_a_race_that_is_always_lost_ends_in_a_refusal_that_says_when_to_ask_again(
    stage: Stage, act: str
) -> None:
    kind, prepare, do = ACTS[act]
    made = prepare(stage)
    stage.store.lose(kind, CHANGE_ATTEMPTS)
    with pytest.raises(StoreUnavailable) as refused:
        do(stage, made)
    assert refused.value.retry_after == 1
    assert stage.store.losses == 0
