"""Who gets the live verification again: the same client, purpose and reference, while nothing has happened to it."""

from dataclasses import replace

import pytest

from service.application.verifications import Start, Started
from service.domain.call import Outcome
from service.domain.channel import Channel
from service.domain.errors import ProviderError, ServiceError, VerificationInProgress
from service.domain.policy import OnConcurrent, Purpose
from service.domain.status import Status
from tests.contract import test_channels
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import NUMBER, call_at
from tests.worlds import World

CONTESTED = Purpose("contested", on_concurrent=OnConcurrent.CONTEST)
POLICY = replace(test_channels.POLICY, purposes=test_channels.POLICY.purposes | {"contested": CONTESTED})
POLICY = replace(
    POLICY,
    clients={
        name: replace(each, purposes=frozenset(POLICY.purposes)) for name, each in POLICY.clients.items()
    },
)


class Stage(test_channels.Stage):
    def again(
        self, purpose: str = "every", reference: str | None = "flow", client: str = "web", **more: object
    ) -> Started:
        return self.verifications.start(client, Start(NUMBER.value, purpose, reference, **more))

    def is_refused(self, purpose: str = "every", reference: str | None = "flow", client: str = "web") -> bool:
        orders, sent = len(self.provider.orders), len(self.sender.sent)
        with pytest.raises(VerificationInProgress) as refused:
            self.again(purpose, reference, client)
        assert (len(self.provider.orders), len(self.sender.sent)) == (orders, sent)
        return (refused.value.retry_after or 0) > 0


@pytest.fixture
def stage(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> Stage:
    return Stage(world, provider, FakeSender(), observer, clock, POLICY)


def test_an_untouched_one_is_given_back_without_an_order(stage: Stage) -> None:
    record = stage.start("every")

    again = stage.again()

    assert (again.verification.id, again.created, again.limits) == (record.id, False, ())
    assert len(stage.provider.orders) == 1


@pytest.mark.parametrize(
    ("client", "purpose", "reference"),
    [
        ("app", "every", "flow"),
        ("web", "two_steps", "flow"),
        ("web", "every", "Flow"),
        ("web", "every", ""),
        ("web", "every", None),
    ],
)
def test_whoever_differs_in_anything_is_refused(
    stage: Stage, client: str, purpose: str, reference: str | None
) -> None:
    record = stage.start("every")

    assert stage.is_refused(purpose, reference, client)
    assert stage.now(record).status is Status.PENDING


@pytest.mark.parametrize("reference", ["", None])
def test_without_a_reference_nobody_is_the_same(stage: Stage, reference: str | None) -> None:
    stage.again(reference=reference)

    assert stage.is_refused(reference=reference)


def test_a_contested_one_is_given_to_nobody(stage: Stage) -> None:
    record = stage.again("contested").verification
    assert stage.is_refused("contested", "another")
    assert stage.now(record).status is Status.CONTESTED

    assert stage.is_refused("contested")

    assert stage.now(record).status is Status.CONTESTED
    assert stage.observer.counts["contested",] == 1


def test_one_that_was_contested_while_its_order_was_under_way_is_given_to_nobody(stage: Stage) -> None:
    stage.provider.during = lambda: stage.is_refused("contested", "another")
    record = stage.again("contested").verification
    assert record.status is Status.CONTESTED
    stage.provider.during = lambda: None

    assert stage.is_refused("contested")


def test_one_whose_first_step_is_done_is_given_to_nobody(stage: Stage) -> None:
    record = stage.start("two_steps")
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED
    assert stage.now(record).status is Status.PENDING

    assert stage.is_refused("two_steps")

    assert stage.now(record).called_at is not None


def test_after_the_proof_the_same_requester_gets_a_new_one(stage: Stage) -> None:
    record = stage.start("every")
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED

    assert stage.is_refused(reference="another")
    again = stage.again()

    assert again.created
    assert again.verification.id != record.id
    # The first is still its own requester's to redeem, once.
    assert stage.verifications.consume("web", record.id, "every", "flow").status is Status.CONSUMED


def test_while_the_order_is_under_way_even_the_same_requester_is_refused(stage: Stage) -> None:
    refused: list[bool] = []
    stage.provider.during = lambda: refused.append(stage.is_refused())

    stage.start("every")

    assert refused == [True]


def test_while_a_fallbacks_order_is_under_way_too(stage: Stage) -> None:
    record = stage.start("code_then_call")
    refused: list[bool] = []

    def during() -> None:
        with pytest.raises(VerificationInProgress):
            stage.again("code_then_call")
        refused.append(True)

    stage.provider.during = during
    stage.channels.fall_back("web", record.id)

    assert refused == [True]
    assert stage.again("code_then_call").verification.id == record.id


def test_a_fallback_whose_order_came_to_nothing_is_given_back(stage: Stage) -> None:
    record = stage.start("code_then_call")
    stage.provider.failures = [ProviderError()]
    with pytest.raises(ServiceError):
        stage.channels.fall_back("web", record.id)

    again = stage.again("code_then_call")

    assert (again.verification.id, again.verification.channel) == (record.id, Channel.CALL)


def test_what_was_canceled_or_is_over_is_not_given_back(stage: Stage) -> None:
    record = stage.start("every")
    stage.verifications.cancel("web", record.id)
    second = stage.again()
    assert second.created
    stage.clock.advance(900)

    assert stage.again().created
