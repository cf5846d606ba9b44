"""Orders of a fallback that are overtaken, blocked or lost."""

from typing import Any

import pytest

from tests.making import call_at, seconds
from tests.unit.application.contended import POLICY, Stage
from waitcall.application.ports import Change
from waitcall.domain.channel import Channel
from waitcall.domain.errors import AlreadyVerified, Blocked, NotFound, ProviderError, ProviderUnavailable
from waitcall.domain.status import Reason, Status


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
