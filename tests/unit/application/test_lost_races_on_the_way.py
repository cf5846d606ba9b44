"""Channels, texts and order reports try again when another process changes a record first, and give up in the end."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from waitcall.application.create import CreateCommand
from waitcall.application.explanation import Subject
from waitcall.application.fallback import Channels
from waitcall.application.ports import Change
from waitcall.application.record_order import UNREADABLE_AGAIN, OrderPoll, OrderReports
from waitcall.application.records import CHANGE_ATTEMPTS
from waitcall.domain.call import Outcome
from waitcall.domain.channel import Channel, InboundText
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.errors import (
    AlreadyVerified,
    Blocked,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RecordUnreadable,
    StoreUnavailable,
)
from waitcall.domain.lists import ListAction, ListKind
from waitcall.domain.numbers import E164
from waitcall.domain.order import OrderReport, OrderStatus, PlacedOrder, ProviderOrder
from waitcall.domain.policy import Client, Policy, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import (
    NUMBER,
    SEALS,
    admission,
    call_at,
    effects_of,
    messages_of,
    opening_of,
    operating,
    seconds,
    use_cases,
)
from tests.unit.application.test_lost_races import Contended
from tests.worlds import memory_world

TOLL_FREE = E164("+78005551101")
ORDER = ProviderOrder("smsru", "201737-542")
PURPOSES = {
    "call": Purpose("call", channels=(Channel.CALL, Channel.TEXT_IN, Channel.CODE)),
    "text": Purpose("text", channels=(Channel.TEXT_IN, Channel.CALL)),
    "code": Purpose("code", channels=(Channel.CODE, Channel.CALL)),
}
POLICY = Policy(
    dial_regions=frozenset({"RU"}),
    purposes=PURPOSES,
    clients={"web": Client("web", frozenset(PURPOSES))},
    text_in_numbers=(E164("+79585550000"),),
    code_texts={"en": "{code} is your code."},
)


class Stage:
    def __init__(self, clock: FakeClock) -> None:
        self.world = world = memory_world(Contended)
        self.store = world.store
        self.clock, self.observer = clock, RecordingObserver()
        self.provider, self.sender = FakeProvider("smsru"), FakeSender()
        self.verifications, self.calls = use_cases(
            self.world, self.provider, self.observer, clock, POLICY, self.sender
        )
        opening = opening_of(self.provider, self.sender, POLICY, world.orders)
        self.verifications.creating._opening = opening
        admitting, effects = admission(self.world, self.observer, POLICY), effects_of(POLICY)
        self.channels = Channels(
            store=self.store,
            admission=admitting,
            effects=effects,
            opening=opening,
            seals=SEALS,
            observer=self.observer,
            clock=clock,
            policy=POLICY,
        )
        self.messages = messages_of(self.world, self.observer, clock)
        self.reports = OrderReports(self.store, world.orders, self.observer, clock, effects, admitting)
        self.inquiry = Inquiry(clock)
        self.poll = OrderPoll(self.inquiry, world.orders, self.store, self.reports, clock)
        self.operator = operating(self.world, self.observer, clock, POLICY)

    def start(self, purpose: str = "call") -> Verification:
        return self.verifications.start("web", CreateCommand(NUMBER.value, purpose, "flow")).verification

    def get(self, record: Verification) -> Verification:
        return self.verifications.get("web", record.id)

    def text(self, record: Verification) -> Outcome:
        asked = record.text_in
        assert asked is not None
        return self.messages.record_text(InboundText(NUMBER.value, asked.number.value, asked.text))

    def reports_to(self, at: Any = None) -> Outcome:
        return self.reports.record(OrderReport(ORDER, OrderStatus.CALLED, at or self.clock()))

    def block(self) -> None:
        self.operator.put(
            "ann",
            action=ListAction.BLOCK,
            kind=ListKind.NUMBER,
            subject=NUMBER.value,
            reason="x",
            expires_in=60,
        )

    def ordering(self) -> Verification:
        """Start a verification whose provider reports on its order."""
        self.provider.placed = PlacedOrder(TOLL_FREE, ORDER, 300)
        return self.start()


class Inquiry:
    """Provider that takes ``seconds`` to answer each query."""

    name = "smsru"

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.seconds = 0
        self.asked: list[ProviderOrder] = []
        self.answer = OrderStatus.WAITING

    def status(self, order: ProviderOrder) -> OrderStatus:
        self.asked.append(order)
        self._clock.advance(self.seconds)
        return self.answer


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    return Stage(clock)


def texted(stage: Stage) -> Verification:
    made = stage.start("text")
    stage.text(made)
    return made


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


# Reports of orders


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

    stage.provider.placed = PlacedOrder(TOLL_FREE, ProviderOrder("smsru", "2"), 300)
    again = stage.start()
    stage.store._latest[NUMBER.value] = "ver_of_somebody_else"
    with pytest.raises(StoreUnavailable):
        stage.reports.record(OrderReport(ProviderOrder("smsru", "2"), OrderStatus.CALLED, stage.clock()))
    assert again.status is Status.PENDING


# Queries about orders


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


# Orders and codes of channels


def test_a_fallback_whose_record_is_gone_before_the_answer_is_not_found(stage: Stage) -> None:
    made = stage.start("text")
    stage.provider.during = lambda: setattr(stage.store, "vanishing", True)
    with pytest.raises(NotFound):
        stage.channels.fall_back("web", made.id, Channel.CALL)
    stage.store.vanishing = False


def test_a_fallback_whose_record_is_gone_before_the_order_fails_gives_the_providers_error(
    stage: Stage,
) -> None:
    made = stage.start("text")
    stage.provider.failures.append(ProviderError())
    stage.provider.during = lambda: setattr(stage.store, "vanishing", True)
    with pytest.raises(ProviderError):
        stage.channels.fall_back("web", made.id, Channel.CALL)
    stage.store.vanishing = False


def test_an_order_that_was_overtaken_says_when_to_ask_again(stage: Stage) -> None:
    made = stage.start("code")

    def overtaken() -> None:
        stored = stage.store.get(made.id)
        assert stored is not None
        stage.operator._records.changed(
            stored, lambda record: record.fail(Reason.PROVIDER_ERROR, stage.clock()), stage.clock()
        )

    stage.provider.during = overtaken
    with pytest.raises(ProviderUnavailable) as refused:
        stage.channels.fall_back("web", made.id)
    assert refused.value.retry_after == 1
    assert stage.get(made).status is Status.FAILED


def test_an_order_of_a_number_that_is_blocked_meanwhile_is_blocked(stage: Stage) -> None:
    made = stage.start("code")
    stage.provider.during = stage.block
    with pytest.raises(Blocked):
        stage.channels.fall_back("web", made.id)
    assert stage.get(made).reason is Reason.BY_OPERATOR


def test_an_order_that_is_placed_again_after_its_call_came_is_already_verified(stage: Stage) -> None:
    made = stage.start("code")
    stage.provider.failures.append(ProviderError())
    with pytest.raises(ProviderError):
        stage.channels.fall_back("web", made.id)

    def proven() -> None:
        stored = stage.store.get(made.id)
        assert stored is not None
        proven_now = stored.verification.prove(Reason.CALL_MATCHED, stage.clock())
        stage.store.commit(Change(stored, proven_now), stage.clock())

    charge = stage.channels._admission.charge

    def charging(*given: Any) -> Any:
        proven()
        return charge(*given)

    stage.channels._admission.charge = charging
    with pytest.raises(AlreadyVerified):
        stage.channels.fall_back("web", made.id, Channel.CALL)


def test_an_order_has_a_lease_of_one_second_more_than_it_may_take(stage: Stage) -> None:
    made = stage.start("code")
    held: list[Any] = []

    def look() -> None:
        stored = stage.store.get(made.id)
        assert stored is not None
        held.append(stored.verification.ordering_until)

    stage.provider.during = look
    stage.channels.fall_back("web", made.id)
    assert held == [stage.clock().replace(microsecond=0) + seconds(26)]
    assert stage.get(made).ordering_until is None


def test_an_order_that_died_may_be_placed_again_when_its_lease_ends(stage: Stage) -> None:
    made = stage.start("code")

    def dies() -> None:
        raise KeyboardInterrupt

    stage.provider.during = dies
    with pytest.raises(KeyboardInterrupt):
        stage.channels.fall_back("web", made.id)
    stage.provider.during = lambda: None
    stage.clock.advance(25)
    assert stage.channels.fall_back("web", made.id, Channel.CALL).call_number is None
    stage.clock.advance(1)
    assert stage.channels.fall_back("web", made.id, Channel.CALL).call_number is not None


def test_a_fallback_to_a_text_shows_the_text_and_its_number(stage: Stage) -> None:
    made = stage.start()
    moved = stage.channels.fall_back("web", made.id)
    assert moved.text_in is not None
    assert moved.text_in.number == POLICY.text_in_numbers[0]


def test_a_second_order_leaves_a_verified_record_verified(stage: Stage) -> None:
    made = stage.start("code")
    stage.channels.fall_back("web", made.id)
    stage.calls.record(call_at(stage.clock()))
    assert stage.channels.fall_back("web", made.id, Channel.CALL).status is Status.VERIFIED
