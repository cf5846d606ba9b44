"""Orders whose provider reports on them, over every store: routing, reports, and queries for lost reports."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import SHOWN, FakeProvider, FakeSender, RecordingObserver
from tests.making import (
    NUMBER,
    SEALS,
    admission,
    call_at,
    opening_of,
    records_of,
    seconds,
    together,
    use_cases,
)
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.fallback import ChannelSteps
from waitcall.application.open_channel import Routing
from waitcall.application.ports import Term
from waitcall.application.record_order import PollOrders, RecordOrderReport
from waitcall.domain.channel import Channel, PlacedOrder, Provider, ProviderOrder
from waitcall.domain.errors import (
    NumberRefused,
    ProviderError,
    ProviderUnavailable,
    StoreUnavailable,
    VerificationInProgress,
)
from waitcall.domain.matching import InboundCall, OrderReport, OrderStatus, Outcome
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Client, OnConcurrent, Policy, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

TOLL_FREE = E164("+78005551101")
KAZAKH = E164("+77012345678")
ORDER = ProviderOrder("smsru", "201737-542")
PURPOSES = {
    "login": Purpose("login", channels=(Channel.CALL, Channel.CODE)),
    "contested": Purpose("contested", on_concurrent=OnConcurrent.CONTEST),
    "two_steps": Purpose("two_steps", second_step=Channel.CODE),
}
POLICY = Policy(
    dial_regions=frozenset({"RU"}),
    purposes=PURPOSES,
    clients={"web": Client("web", frozenset(PURPOSES)), "app": Client("app", frozenset(PURPOSES))},
    code_texts={"en": "{code} is your code."},
)
TERM = Term(1, "test")


class FakeInquiry:
    name = "smsru"

    def __init__(self) -> None:
        self.asked: list[ProviderOrder] = []
        self.answer: OrderStatus | Exception = OrderStatus.WAITING

    def status(self, order: ProviderOrder) -> OrderStatus:
        self.asked.append(order)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Stage:
    world: World
    observer: RecordingObserver
    clock: FakeClock

    def __post_init__(self) -> None:
        self.smsc, self.smsru = FakeProvider(), FakeProvider("smsru")
        self.smsru.placed = PlacedOrder(TOLL_FREE, ORDER, 300, Provider.SMSRU)
        routing = Routing(
            [self.smsc, self.smsru], ("smsc", "smsru"), {"RU": ("smsru", "smsc")}, self.observer
        )
        self.verifications, self.calls = use_cases(
            self.world, self.smsc, self.observer, self.clock, POLICY, FakeSender()
        )
        opening = opening_of(routing, FakeSender(), POLICY, self.world.orders)
        self.verifications.creating._opening = opening
        records = records_of(self.world, self.observer, POLICY)
        admitting = admission(self.world, self.observer, POLICY)
        self.channels = ChannelSteps(
            records=records,
            admission=admitting,
            opening=opening,
            seals=SEALS,
            clock=self.clock,
            policy=POLICY,
        )
        self.reports = RecordOrderReport(records, self.world.orders, admitting, self.clock)
        self.inquiry = FakeInquiry()
        self.poll = PollOrders(self.inquiry, self.world.orders, self.world.store, self.reports, self.clock)

    def start(self, purpose: str = "login", client: str = "web", number: E164 = NUMBER) -> Verification:
        return self.verifications.start(client, CreateCommand(number.value, purpose, "flow")).verification

    def get(self, record: Verification) -> Verification:
        return self.verifications.get("web", record.id)

    def report(self, order: ProviderOrder = ORDER, at: datetime | None = None) -> Outcome:
        when = at or self.clock().replace(microsecond=0)
        return self.reports.record(OrderReport(order, OrderStatus.CALLED, when))


@pytest.fixture
def stage(world: World, observer: RecordingObserver, clock: FakeClock) -> Stage:
    return Stage(world, observer, clock)


def test_a_report_without_a_time_counts_from_when_it_came(stage: Stage) -> None:
    stage.start()
    assert stage.reports.record(OrderReport(ORDER, OrderStatus.CALLED, None)) is Outcome.CONFIRMED
    assert stage.observer.matched == [InboundCall(NUMBER.value, stage.clock())]


def test_a_report_verifies_the_order_it_names_and_says_which_number_rang(stage: Stage) -> None:
    record = stage.start()
    assert (record.call_number, record.order) == (TOLL_FREE, ORDER)

    assert stage.report() is Outcome.CONFIRMED

    verified = stage.get(record)
    assert (verified.status, verified.reason) == (Status.VERIFIED, Reason.CALL_MATCHED)
    assert verified.dialled == TOLL_FREE
    assert stage.observer.counts["callback", "call", "confirmed"] == 1


def test_a_report_is_told_as_a_call_at_the_time_that_it_says(stage: Stage) -> None:
    stage.start()
    stage.clock.advance(20)
    rang = stage.clock().replace(microsecond=0) - seconds(7)
    assert stage.report(at=rang) is Outcome.CONFIRMED
    assert stage.observer.matched == [InboundCall(NUMBER.value, rang)]


def test_the_window_ends_when_the_provider_stops_listening(stage: Stage) -> None:
    record = stage.start()

    assert record.expires_at == record.created_at + timedelta(seconds=300)
    stage.clock.advance(300)
    assert stage.get(record).status is Status.EXPIRED
    assert stage.report(at=record.created_at + timedelta(seconds=200)) is Outcome.LATE
    assert stage.get(record).reason is Reason.LATE_CALL


def test_a_call_that_the_other_provider_reports_proves_nothing(stage: Stage) -> None:
    """A forged SMSC callback, or a real call to a number of SMSC, is not a call to the number shown."""
    record = stage.start()

    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED

    assert stage.get(record).status is Status.PENDING
    assert stage.report() is Outcome.CONFIRMED


def test_a_repeated_report_changes_nothing(stage: Stage) -> None:
    record = stage.start()

    outcomes = Counter(together(20, lambda _: stage.report()))

    assert outcomes == {Outcome.CONFIRMED: 1, Outcome.REPEATED: 19}
    assert stage.verifications.consume("web", record.id, "login", "flow").status is Status.CONSUMED
    assert stage.report() is Outcome.REPEATED


@pytest.mark.parametrize("other", [ProviderOrder("smsru", "1-1"), ProviderOrder("smsc", ORDER.id)])
def test_an_order_that_nobody_placed_matches_nothing(stage: Stage, other: ProviderOrder) -> None:
    record = stage.start()

    assert stage.report(other) is Outcome.UNMATCHED
    assert stage.get(record).status is Status.PENDING


def test_the_time_of_a_report_follows_the_rules_of_a_call(stage: Stage) -> None:
    record = stage.start()
    now = stage.clock()

    assert stage.report(at=now + seconds(6)) is Outcome.EARLY
    assert stage.report(at=record.created_at - seconds(6)) is Outcome.EARLY
    assert stage.report(at=record.expires_at + seconds(1)) is Outcome.EARLY
    stage.clock.advance(299)
    assert stage.report(at=record.expires_at + seconds(1)) is Outcome.LATE
    assert stage.get(record).status is Status.PENDING
    assert stage.report(at=record.created_at - seconds(5)) is Outcome.CONFIRMED


def test_a_contested_order_stays_contested(stage: Stage) -> None:
    record = stage.start("contested")
    with pytest.raises(VerificationInProgress):
        stage.start("contested", client="app")

    assert stage.report() is Outcome.CONTESTED
    assert stage.get(record).status is Status.CONTESTED


def test_a_canceled_or_left_order_proves_nothing(stage: Stage) -> None:
    canceled = stage.start()
    stage.verifications.cancel("web", canceled.id)
    assert stage.report() is Outcome.UNMATCHED

    stage.smsru.placed = PlacedOrder(TOLL_FREE, ProviderOrder("smsru", "2"), 300, Provider.SMSRU)
    left = stage.start()
    moved = stage.channels.fall_back("web", left.id)
    assert (moved.channel, moved.order) == (Channel.CODE, None)
    assert stage.report(ProviderOrder("smsru", "2")) is Outcome.UNMATCHED
    assert stage.get(left).status is Status.PENDING


def test_the_first_of_two_steps_may_be_an_order_with_reports(stage: Stage) -> None:
    record = stage.start("two_steps")

    assert stage.report() is Outcome.CONFIRMED
    after = stage.get(record)
    assert (after.status, after.channel) == (Status.PENDING, Channel.CODE)
    assert after.called_at is not None
    assert stage.report() is Outcome.REPEATED


def test_a_report_of_a_waiting_or_ended_order_changes_nothing(stage: Stage) -> None:
    record = stage.start()
    for status in (OrderStatus.WAITING, OrderStatus.ENDED):
        assert stage.reports.record(OrderReport(ORDER, status, stage.clock())) is Outcome.OTHER
    assert stage.get(record).status is Status.PENDING
    # An ended order is not asked about again.
    stage.clock.advance(60)
    assert stage.poll.run(TERM) == 0
    assert stage.inquiry.asked == []


def test_a_report_that_came_too_early_is_asked_about_later(stage: Stage) -> None:
    record = stage.start()
    assert stage.report(at=stage.clock() + seconds(60)) is Outcome.EARLY
    stage.clock.advance(20)
    stage.inquiry.answer = OrderStatus.CALLED
    assert stage.poll.run(TERM) == 1
    assert stage.get(record).status is Status.VERIFIED


def test_a_late_report_is_kept_although_another_requester_has_the_number(stage: Stage) -> None:
    first = stage.start()
    stage.clock.advance(300)
    stage.smsru.placed = PlacedOrder(TOLL_FREE, ProviderOrder("smsru", "2"), 300, Provider.SMSRU)
    second = stage.start(client="app")

    assert stage.report() is Outcome.LATE

    assert stage.get(first).reason is Reason.LATE_CALL
    assert stage.verifications.get("app", second.id).status is Status.PENDING


def test_a_repeated_report_is_acknowledged_only_once_it_is_safe(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.start()
    stage.report()
    monkeypatch.setattr(stage.world.store, "confirm", lambda *_: False)
    with pytest.raises(StoreUnavailable):
        stage.report()


def test_a_settled_order_is_never_asked_about_again(stage: Stage) -> None:
    orders = stage.world.orders
    orders.remember(ORDER, "ver_1", stage.clock(), stage.clock())
    orders.settle(ORDER)
    orders.ask_again(ORDER, stage.clock())
    assert orders.to_ask("smsru", stage.clock()) == []


# Routing


def test_the_country_decides_which_provider_is_asked(stage: Stage) -> None:
    assert stage.start().order == ORDER
    assert stage.start(number=KAZAKH).call_number == SHOWN
    assert (len(stage.smsru.orders), len(stage.smsc.orders)) == (1, 1)
    assert stage.observer.counts["ordered", "smsru", "True"] == 1
    assert stage.observer.counts["ordered", "smsc", "True"] == 1


@pytest.mark.parametrize("failure", [ProviderUnavailable(retry_after=7), ProviderError()])
def test_after_a_failure_the_next_provider_is_asked(
    stage: Stage, failure: ProviderUnavailable | ProviderError
) -> None:
    stage.smsru.failures.append(failure)

    record = stage.start()

    assert (record.call_number, record.order) == (SHOWN, None)
    assert record.expires_at == record.created_at + timedelta(seconds=900)
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED
    assert stage.observer.counts["ordered", "smsru", "False"] == 1


def test_if_all_providers_fail_the_error_of_the_first_is_given(stage: Stage) -> None:
    stage.smsru.failures.append(ProviderUnavailable(retry_after=7))
    stage.smsc.failures.append(NumberRefused())

    with pytest.raises(ProviderUnavailable) as raised:
        stage.start()

    assert raised.value.retry_after == 7
    assert (len(stage.smsru.orders), len(stage.smsc.orders)) == (1, 1)


def test_a_number_that_the_first_provider_refuses_is_not_tried_at_the_next(stage: Stage) -> None:
    stage.smsru.failures.append(NumberRefused())

    with pytest.raises(NumberRefused):
        stage.start()

    assert stage.smsc.orders == []


# Queries


def test_a_lost_report_is_asked_for(stage: Stage) -> None:
    record = stage.start()
    stage.inquiry.answer = OrderStatus.CALLED

    assert stage.poll.run(TERM) == 0
    stage.clock.advance(20)
    assert stage.poll.run(TERM) == 1

    assert stage.get(record).status is Status.VERIFIED
    assert stage.observer.counts["reconciled", "confirmed"] == 1
    stage.clock.advance(60)
    assert stage.poll.run(TERM) == 0
    assert stage.inquiry.asked == [ORDER]


def test_queries_become_rarer_and_one_comes_just_before_the_end(stage: Stage) -> None:
    stage.start()
    asked_at = []
    for second in range(320):
        before = len(stage.inquiry.asked)
        stage.poll.run(TERM)
        if len(stage.inquiry.asked) > before:
            asked_at.append(second)
        stage.clock.advance(1)

    assert asked_at == [20, 41, 83, 167, 295]
    assert stage.world.orders.to_ask("smsru", stage.clock() + timedelta(hours=1)) == []


def test_an_order_whose_query_always_fails_delays_no_other(stage: Stage) -> None:
    stage.start()
    stage.clock.advance(1)
    stage.smsru.placed = PlacedOrder(TOLL_FREE, ProviderOrder("smsru", "2"), 300, Provider.SMSRU)
    other = stage.start(number=E164("+79991234568"))
    stage.clock.advance(20)
    stage.inquiry.answer = ProviderError()
    with pytest.raises(ProviderError):
        stage.poll.run(TERM)

    stage.inquiry.answer = OrderStatus.CALLED
    assert stage.poll.run(TERM) == 1

    assert stage.get(other).status is Status.VERIFIED
    assert stage.inquiry.asked == [ORDER, ProviderOrder("smsru", "2")]


def test_an_order_whose_record_is_canceled_or_unknown_is_not_asked_about(stage: Stage) -> None:
    record = stage.start()
    stage.verifications.cancel("web", record.id)
    stage.world.orders.remember(ProviderOrder("smsru", "lost"), "ver_unknown", stage.clock(), stage.clock())
    stage.clock.advance(20)

    assert stage.poll.run(TERM) == 0

    assert stage.inquiry.asked == []
    assert stage.world.orders.to_ask("smsru", stage.clock() + timedelta(hours=1)) == []


def test_the_record_keeps_its_order_over_every_store(stage: Stage) -> None:
    record = stage.start()
    stored = stage.world.store.get(record.id)
    assert stored is not None
    assert stored.verification == replace(record)
    assert stage.world.orders.verification_of(ORDER) == record.id
    assert stage.world.orders.verification_of(ProviderOrder("smsru", "?")) is None
