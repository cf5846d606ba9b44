"""Windows of the channels, and reasons of an expiry."""

from tests.contract.channels.conftest import CALL, CODE, POLICY, TEXT_IN, Stage
from tests.making import records_of
from waitcall.application.expire import ExpireVerifications
from waitcall.domain.channel import Channel
from waitcall.domain.status import Reason, Status


def test_the_reason_of_an_expiry_names_what_was_missing(stage: Stage) -> None:
    found = {}
    for channel in Channel:
        record = stage.start("every", channel)
        stage.clock.advance(900)
        found[channel] = stage.now(record).reason
    assert found == {CALL: Reason.NO_CALL, TEXT_IN: Reason.NO_TEXT, CODE: Reason.NO_CODE}


def test_a_sweep_knows_the_window_of_the_channel(stage: Stage) -> None:
    record = stage.start("every")
    stage.clock.advance(600)
    stage.channels.fall_back("web", record.id)
    sweep = ExpireVerifications(
        records_of(stage.world, stage.observer, POLICY), stage.world.deadlines, stage.clock
    )
    stage.clock.advance(400)
    sweep.run()
    assert stage.now(record).status is Status.PENDING
    stage.clock.advance(500)
    sweep.run()
    assert stage.observer.counts["finished", "expired", "no_text"] == 1
