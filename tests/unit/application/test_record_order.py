"""Order reports, and queries for those that did not come."""

from dataclasses import replace
from typing import Any

import pytest

from tests.making import NUMBER, seconds
from tests.unit.application.contended import ORDER, TOLL_FREE, Stage
from waitcall.application.record_order import UNREADABLE_AGAIN
from waitcall.domain.channel import PlacedOrder, Provider, ProviderOrder
from waitcall.domain.errors import RecordUnreadable, StoreUnavailable
from waitcall.domain.matching import OrderReport, OrderStatus, Outcome
from waitcall.domain.status import Status


@pytest.mark.parametrize(("rang", "lag"), [(-7, 7.0), (2, 0.0)])
def test_the_delay_of_a_report_is_told_and_never_negative(stage: Stage, rang: int, lag: float) -> None:
    stage.ordering()
    stage.clock.advance(20)
    stage.reports_to(stage.clock() + seconds(rang))
    stage.reports_to(stage.clock() + seconds(rang))
    assert stage.observer.lags == [lag, None]


def test_a_report_without_a_time_has_no_delay(stage: Stage) -> None:
    stage.ordering()
    stage.reports.record(OrderReport(ORDER, OrderStatus.CALLED, None))
    assert stage.observer.lags == [None]


def test_a_report_whose_record_is_gone_matches_nothing(stage: Stage) -> None:
    stage.ordering()
    stage.store.vanishing = True
    assert stage.reports_to() is Outcome.UNMATCHED


def test_a_report_is_written_with_its_audit_entry_and_only_to_the_numbers_latest_record(
    stage: Stage,
) -> None:
    made = stage.ordering()
    stage.reports_to()
    events = [(each.event, each.verification_id) for each in stage.world.audit.entries]
    assert events[-1] == ("verified", made.id)
    stage.clock.advance(31)
    proof = stage.get(made)
    assert proof.status is Status.VERIFIED

    stage.provider.placed = PlacedOrder(TOLL_FREE, ProviderOrder("smsru", "2"), 300, Provider.SMSRU)
    again = stage.start()
    stage.store._latest[NUMBER.value] = "ver_of_somebody_else"
    with pytest.raises(StoreUnavailable):
        stage.reports.record(OrderReport(ProviderOrder("smsru", "2"), OrderStatus.CALLED, stage.clock()))
    assert again.status is Status.PENDING


def test_a_round_of_slow_answers_ends_and_the_rest_is_asked_next_time(stage: Stage) -> None:
    made = stage.ordering()
    for index in range(3):
        stage.world.orders.remember(ProviderOrder("smsru", str(index)), made.id, stage.clock(), stage.clock())
    stage.store._records[made.id] = replace(
        stage.store._records[made.id], verification=replace(made, status=Status.ORDERING)
    )
    stage.inquiry.seconds = 21
    stage.poll.run(None)
    assert len(stage.inquiry.asked) == 1
    stage.inquiry.seconds = 10
    stage.clock.advance(60)
    stage.inquiry.asked.clear()
    stage.store._records[made.id] = replace(
        stage.store._records[made.id],
        verification=replace(made, status=Status.ORDERING, expires_at=stage.clock() + seconds(600)),
    )
    stage.poll.run(None)
    assert len(stage.inquiry.asked) == 3


def test_an_order_whose_record_cannot_be_read_is_asked_about_a_minute_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stage.ordering()
    other = ProviderOrder("smsru", "2")
    stage.world.orders.remember(other, made.id, stage.clock(), stage.clock())
    stage.clock.advance(20)
    real, broken = stage.store.get, iter([True])

    def get(verification_id: str) -> Any:
        if next(broken, False):
            raise RecordUnreadable(retry_after=60)
        return real(verification_id)

    monkeypatch.setattr(stage.store, "get", get)
    stage.inquiry.answer = OrderStatus.CALLED
    first, second = stage.world.orders.to_ask("smsru", stage.clock())
    stage.poll.run(None)
    # The second order is no longer the record's, so it is forgotten. The first is asked about again later.
    assert stage.world.orders.to_ask("smsru", stage.clock()) == []
    assert stage.world.orders.to_ask("smsru", stage.clock() + UNREADABLE_AGAIN - seconds(1)) == []
    assert stage.world.orders.to_ask("smsru", stage.clock() + UNREADABLE_AGAIN) == [first]
    assert second != first


def test_an_order_that_is_still_under_way_is_asked_about_again(stage: Stage) -> None:
    made = stage.ordering()
    stage.store._records[made.id] = replace(
        stage.store._records[made.id], verification=replace(made, status=Status.ORDERING, order=None)
    )
    stage.clock.advance(20)
    stage.poll.run(None)
    assert stage.inquiry.asked == [ORDER]


def test_an_order_that_still_waits_changes_nothing(stage: Stage) -> None:
    stage.ordering()
    stage.clock.advance(20)
    assert stage.poll.run(None) == 0
    assert not any(key[0] == "reconciled" for key in stage.observer.counts)
