"""Create gives a live, untouched verification back to a repeated request of its client, purpose and reference."""

from dataclasses import replace

import pytest

from tests.contract.channels import conftest as every_channel
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import NUMBER, call_at
from tests.worlds import World
from waitcall.application.create import CreateCommand, Created
from waitcall.domain.channel import Channel
from waitcall.domain.errors import ProviderError, ServiceError, VerificationInProgress
from waitcall.domain.matching import Outcome
from waitcall.domain.policy import OnConcurrent, Purpose
from waitcall.domain.status import Status

CONTESTED = Purpose("contested", on_concurrent=OnConcurrent.CONTEST)
POLICY = replace(every_channel.POLICY, purposes=every_channel.POLICY.purposes | {"contested": CONTESTED})
POLICY = replace(
    POLICY,
    clients={
        name: replace(each, purposes=frozenset(POLICY.purposes)) for name, each in POLICY.clients.items()
    },
)


class Stage(every_channel.Stage):
    def again(
        self, purpose: str = "every", reference: str | None = "flow", client: str = "web", **more: object
    ) -> Created:
        return self.verifications.start(client, CreateCommand(NUMBER.value, purpose, reference, **more))

    def is_refused(self, purpose: str = "every", reference: str | None = "flow", client: str = "web") -> bool:
        orders, sent = len(self.provider.orders), len(self.sender.sent)
        with pytest.raises(VerificationInProgress) as refused:
            self.again(purpose, reference, client)
        assert (len(self.provider.orders), len(self.sender.sent)) == (orders, sent)
        return (refused.value.retry_after or 0) > 0


@pytest.fixture
def stage(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> Stage:
    return Stage(world, provider, FakeSender(), observer, clock, POLICY)


def test_an_untouched_verification_is_given_back_without_an_order(stage: Stage) -> None:
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
def test_another_client_purpose_or_reference_is_refused(
    stage: Stage, client: str, purpose: str, reference: str | None
) -> None:
    record = stage.start("every")

    assert stage.is_refused(purpose, reference, client)
    assert stage.now(record).status is Status.PENDING


@pytest.mark.parametrize("reference", ["", None])
def test_without_a_reference_the_same_client_is_refused(stage: Stage, reference: str | None) -> None:
    stage.again(reference=reference)

    assert stage.is_refused(reference=reference)


def test_a_contested_verification_is_not_given_back(stage: Stage) -> None:
    record = stage.again("contested").verification
    assert stage.is_refused("contested", "another")
    assert stage.now(record).status is Status.CONTESTED

    assert stage.is_refused("contested")

    assert stage.now(record).status is Status.CONTESTED
    assert stage.observer.counts["contested",] == 1


def test_a_verification_that_was_contested_during_its_order_is_not_given_back(stage: Stage) -> None:
    stage.provider.during = lambda: stage.is_refused("contested", "another")
    record = stage.again("contested").verification
    assert record.status is Status.CONTESTED
    stage.provider.during = lambda: None

    assert stage.is_refused("contested")


def test_a_verification_whose_first_step_is_done_is_not_given_back(stage: Stage) -> None:
    record = stage.start("two_steps")
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED
    assert stage.now(record).status is Status.PENDING

    assert stage.is_refused("two_steps")

    assert stage.now(record).called_at is not None


def test_after_the_proof_the_same_requester_gets_a_new_verification(stage: Stage) -> None:
    record = stage.start("every")
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED

    assert stage.is_refused(reference="another")
    again = stage.again()

    assert again.created
    assert again.verification.id != record.id
    # The requester can still consume the first proof, once.
    assert stage.verifications.consume("web", record.id, "every", "flow").status is Status.CONSUMED


def test_while_the_order_is_under_way_even_the_same_requester_is_refused(stage: Stage) -> None:
    refused: list[bool] = []
    stage.provider.during = lambda: refused.append(stage.is_refused())

    stage.start("every")

    assert refused == [True]


def test_while_the_order_of_a_fallback_is_under_way_the_same_requester_is_refused(stage: Stage) -> None:
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


def test_a_verification_whose_fallback_failed_is_given_back(stage: Stage) -> None:
    record = stage.start("code_then_call")
    stage.provider.failures = [ProviderError()]
    with pytest.raises(ServiceError):
        stage.channels.fall_back("web", record.id)

    again = stage.again("code_then_call")

    assert (again.verification.id, again.verification.channel) == (record.id, Channel.CALL)


def test_a_canceled_or_expired_verification_is_not_given_back(stage: Stage) -> None:
    record = stage.start("every")
    stage.verifications.cancel("web", record.id)
    second = stage.again()
    assert second.created
    stage.clock.advance(900)

    assert stage.again().created
