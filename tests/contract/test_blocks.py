"""A block ends live verifications and is checked before each proof and each consume, over every store."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.contract import test_orders
from tests.contract.channels import conftest as every_channel
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import NUMBER, OTHER_NUMBER, call_at, operating, together, with_limits
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.operate import OperatorActions, Subject
from waitcall.domain.channel import Channel
from waitcall.domain.errors import Blocked, NotFound, ProviderError, ServiceError
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.matching import OrderReport, OrderStatus, Outcome
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

POLICY = replace(every_channel.POLICY, limits=with_limits(number=["50/10m"], client=["50/h"]).limits)
PREFIX = NUMBER.value[:7]
ROUNDS = 20


class Stage(every_channel.Stage):
    @property
    def operator(self) -> OperatorActions:
        return operating(self.world, self.observer, self.clock, self.policy)

    def put(
        self,
        subject: str = NUMBER.value,
        kind: ListKind = ListKind.NUMBER,
        action: ListAction = ListAction.BLOCK,
    ) -> None:
        self.operator.put("ops", action=action, kind=kind, subject=subject, reason="why", expires_in=600)

    def block_prefix(self) -> None:
        self.put(PREFIX, ListKind.PREFIX)

    def call(self) -> Outcome:
        return self.calls.record(call_at(self.clock()))

    def consume(self, record: Verification) -> Verification:
        return self.verifications.consume("web", record.id, record.requester.purpose, "flow")

    def stands(self, record: Verification) -> tuple[Status, Reason | None]:
        now = self.now(record)
        return now.status, now.reason

    def used(self) -> list[int]:
        limit_checks = self.verifications.creating._admission.applicable.of_subject(NUMBER, None, "web", None)
        return [each.used for each in self.world.limits.look(limit_checks, self.clock())]


@pytest.fixture
def stage(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> Stage:
    return Stage(world, provider, FakeSender(), observer, clock, POLICY)


ENDED = (Status.CANCELED, Reason.BY_OPERATOR)


def test_a_block_ends_a_verification_that_waits_for_a_call(stage: Stage) -> None:
    record = stage.start("every")

    stage.put()

    assert stage.stands(record) == ENDED
    assert stage.call() is Outcome.UNMATCHED
    with pytest.raises(ServiceError, match="has not succeeded"):
        stage.consume(record)
    assert stage.audited() == Counter({"started": 1, "block": 1, "canceled": 1})
    assert stage.observer.counts["finished", "canceled", "by_operator"] == 1


@pytest.mark.parametrize(("purpose", "channel"), [("text_in", None), ("code", None), ("two_steps", None)])
def test_a_block_ends_every_channel(stage: Stage, purpose: str, channel: Channel | None) -> None:
    record = stage.start(purpose, channel)
    if purpose == "two_steps":
        assert stage.call() is Outcome.CONFIRMED
        assert stage.now(record).called_at is not None

    stage.put()

    assert stage.stands(record) == ENDED


def test_a_block_ends_a_contested_record(stage: Stage) -> None:
    record = stage.start("contested_text")
    with pytest.raises(ServiceError):
        stage.verifications.start("app", CreateCommand(NUMBER.value, "contested_text", "other"))
    assert stage.now(record).status is Status.CONTESTED

    stage.put()

    assert stage.stands(record) == ENDED


def test_a_block_leaves_other_numbers_and_ended_records_as_they_are(stage: Stage) -> None:
    consumed = stage.start("every")
    stage.call()
    stage.consume(consumed)
    other = stage.verifications.start("web", CreateCommand(OTHER_NUMBER.value, "every", "flow")).verification

    stage.put()

    assert stage.now(consumed).status is Status.CONSUMED
    assert stage.now(other).status is Status.PENDING


@pytest.mark.parametrize("fails", [False, True], ids=["order given", "order failed"])
def test_an_order_under_way_is_not_shown_and_costs_nothing(stage: Stage, *, fails: bool) -> None:
    before = stage.used()
    stage.provider.during = stage.put
    stage.provider.failures = [ProviderError()] if fails else []

    with pytest.raises(Blocked):
        stage.start("every")

    assert stage.used() == before
    assert set(before) == {0}
    assert stage.audited() == Counter({"block": 1, "canceled": 1})
    latest = stage.world.store.latest_of(NUMBER.value)
    assert latest is not None
    record = latest.verification
    assert (record.status, record.reason, record.call_number) == (*ENDED, None)
    # The record shows the window that was asked for, not the lease of the order.
    assert (record.expires_at - record.created_at).total_seconds() == 900


def test_a_code_under_way_is_refused_and_costs_nothing(stage: Stage) -> None:
    stage.sender.during = stage.put

    with pytest.raises(Blocked):
        stage.start("code")

    assert set(stage.used()) == {0}


def test_a_fallback_whose_order_is_under_way_ends_with_the_block(stage: Stage) -> None:
    record = stage.start("code_then_call")
    stage.provider.during = stage.put

    with pytest.raises(Blocked):
        stage.channels.fall_back("web", record.id)

    assert stage.stands(record) == ENDED


def blocked_by_policy(stage: Stage) -> None:
    entry = ListEntry(ListAction.BLOCK, ListKind.PREFIX, PREFIX, "of the policy file")
    Stage.__init__(
        stage,
        *(stage.world, stage.provider, stage.sender, stage.observer, stage.clock),
        replace(stage.policy, lists=(entry,)),
    )


WIDER = pytest.mark.parametrize("block", [Stage.block_prefix, blocked_by_policy], ids=["prefix", "policy"])


@WIDER
def test_a_call_of_a_blocked_number_proves_nothing(stage: Stage, block: Callable[[Stage], None]) -> None:
    record = stage.start("every")
    block(stage)
    assert stage.stands(record) == (Status.PENDING, None)

    assert stage.call() is Outcome.UNMATCHED

    assert stage.stands(record) == ENDED
    assert stage.audited()["canceled"] == 1
    assert stage.call() is Outcome.REPEATED


@WIDER
def test_a_first_step_of_a_blocked_number_proves_nothing(
    stage: Stage, block: Callable[[Stage], None]
) -> None:
    record = stage.start("two_steps")
    block(stage)

    assert stage.call() is Outcome.UNMATCHED

    assert stage.stands(record) == ENDED


@WIDER
def test_a_text_of_a_blocked_number_proves_nothing(stage: Stage, block: Callable[[Stage], None]) -> None:
    record = stage.start("text_in")
    block(stage)

    assert stage.text(record) is Outcome.UNMATCHED

    assert stage.stands(record) == ENDED


@WIDER
def test_a_code_of_a_blocked_number_proves_nothing(stage: Stage, block: Callable[[Stage], None]) -> None:
    record = stage.start("code")
    block(stage)

    with pytest.raises(Blocked):
        stage.check(record)

    assert stage.stands(record) == ENDED


def test_an_order_of_a_blocked_number_proves_nothing(
    world: World, observer: RecordingObserver, clock: FakeClock
) -> None:
    stage = test_orders.Stage(world, observer, clock)
    record = stage.start()
    operator = operating(world, observer, clock, test_orders.POLICY)
    operator.put(
        "ops", action=ListAction.BLOCK, kind=ListKind.PREFIX, subject=PREFIX, reason="w", expires_in=60
    )

    assert stage.report() is Outcome.UNMATCHED

    ended = stage.get(record)
    assert (ended.status, ended.reason) == ENDED
    report = OrderReport(test_orders.ORDER, OrderStatus.CALLED, clock().replace(microsecond=0))
    assert stage.reports.record(report) is Outcome.UNMATCHED


@pytest.mark.parametrize("block", [Stage.put, Stage.block_prefix, blocked_by_policy])
def test_a_proof_of_a_blocked_number_is_not_redeemed(stage: Stage, block: Callable[[Stage], None]) -> None:
    record = stage.start("every")
    stage.call()
    block(stage)

    with pytest.raises(Blocked) as refused:
        stage.consume(record)

    assert refused.value.retry_after == (None if block is blocked_by_policy else 600)
    # The proof is kept, because an operator may lift a mistaken block in time.
    assert stage.now(record).status is Status.VERIFIED
    if block is Stage.put:
        stage.operator.remove("ops", ListKind.NUMBER, NUMBER.value, "a mistake")
        assert stage.consume(record).status is Status.CONSUMED


def test_other_errors_of_a_consume_are_given_before_the_block(stage: Stage) -> None:
    record = stage.start("every")
    stage.call()
    stage.put()

    for client, purpose, reference, code in (
        ("app", "every", "flow", "not_found"),
        ("web", "code", "flow", "purpose_mismatch"),
        ("web", "every", "other", "reference_mismatch"),
        ("web", "every", "flow", "blocked"),
    ):
        with pytest.raises(ServiceError) as refused:
            stage.verifications.consume(client, record.id, purpose, reference)
        assert refused.value.code == code


def test_a_repeated_consume_gets_its_answer_though_the_number_is_blocked_now(stage: Stage) -> None:
    record = stage.start("every")
    stage.call()
    redeem = (record.requester.purpose, "flow", "the same attempt")
    stage.verifications.consume("web", record.id, *redeem)
    stage.put()

    assert stage.verifications.consume("web", record.id, *redeem).status is Status.CONSUMED


def test_allowing_a_number_lifts_a_wider_block(stage: Stage) -> None:
    record = stage.start("every")
    stage.block_prefix()
    stage.put(action=ListAction.ALLOW)

    assert stage.call() is Outcome.CONFIRMED
    assert stage.consume(record).status is Status.CONSUMED


def test_a_block_that_has_ended_refuses_nothing(stage: Stage) -> None:
    stage.block_prefix()
    stage.clock.advance(600)
    record = stage.start("every")

    assert stage.call() is Outcome.CONFIRMED
    assert stage.consume(record).status is Status.CONSUMED


def test_a_consume_that_read_the_lists_before_the_block_is_refused_after_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block writes the record again, so the consume fails to write it and reads record and lists again."""
    record = stage.start("every")
    stage.call()
    look = stage.world.store.get_with_lists

    def looked(verification_id: str) -> object:
        found = look(verification_id)
        stage.put()
        return found

    monkeypatch.setattr(stage.world.store, "get_with_lists", looked)

    with pytest.raises(Blocked):
        stage.consume(record)

    assert stage.now(record).status is Status.VERIFIED


def test_a_call_that_read_the_lists_before_the_block_proves_nothing_after_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = stage.start("every")
    read = stage.world.store.creation_context
    blocks = [stage.put]

    def read_then_blocked(*asked: object) -> object:
        found = read(*asked)
        if blocks:
            blocks.pop()()
        return found

    monkeypatch.setattr(stage.world.store, "creation_context", read_then_blocked)

    assert stage.call() is Outcome.UNMATCHED
    assert stage.stands(record) == ENDED


def test_no_proof_is_consumed_after_a_simultaneous_block_is_acknowledged(stage: Stage) -> None:
    """After the block is acknowledged, no proof is consumed any more."""
    for _ in range(ROUNDS):
        record = stage.start("every")
        assert stage.call() is Outcome.CONFIRMED
        acknowledged: list[Status] = []

        def act(index: int, record: Verification = record, told: list[Status] = acknowledged) -> Verification:
            if index == 0:
                stage.put()
                told.append(stage.now(record).status)
                return record
            return stage.consume(record)

        block, *consumes = together(4, act)

        assert block is record
        done = [each for each in consumes if isinstance(each, Verification)]
        assert len(done) <= 1
        assert acknowledged == [Status.CONSUMED if done else Status.VERIFIED]
        assert stage.now(record).status is acknowledged[0]
        stage.operator.unblock("ops", Subject(NUMBER.value), "next round")
        stage.clock.advance(60)


def test_after_a_block_and_a_call_at_once_nothing_is_consumed(stage: Stage) -> None:
    for _ in range(ROUNDS):
        record = stage.start("every")

        def act(index: int) -> Outcome | None:
            return stage.put() if index == 0 else stage.call()

        block, call = together(2, act)

        assert block is None
        assert call in (Outcome.CONFIRMED, Outcome.UNMATCHED)
        verified = call is Outcome.CONFIRMED
        assert stage.now(record).status is (Status.VERIFIED if verified else Status.CANCELED)
        with pytest.raises(ServiceError):
            stage.consume(record)
        stage.operator.unblock("ops", Subject(NUMBER.value), "next round")
        stage.clock.advance(60)


def test_a_block_is_listed_and_can_be_removed_once(stage: Stage) -> None:
    stage.put()
    assert [entry.subject for entry in stage.operator.lists("ops")] == [NUMBER.value]
    stage.operator.remove("ops", ListKind.NUMBER, NUMBER.value, "why")
    with pytest.raises(NotFound):
        stage.operator.remove("ops", ListKind.NUMBER, NUMBER.value, "why")
