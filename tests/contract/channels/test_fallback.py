"""Fallback to a later channel."""

import threading
from dataclasses import replace

import pytest

from tests.contract.channels.conftest import CALL, CODE, POLICY, TEXT_IN, Stage, whole
from tests.fakes.outside import SHOWN
from tests.making import NUMBER, call_at, seconds, together
from waitcall.domain.channel import Assurance
from waitcall.domain.errors import (
    Blocked,
    NoFallback,
    PhoneNumberNotAllowed,
    ProviderUnavailable,
    RateLimited,
    ValidationFailed,
)
from waitcall.domain.limits import Limit, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification


def test_a_fallback_keeps_the_id_and_opens_a_window_of_its_own(stage: Stage) -> None:
    record = stage.start("every")
    assert (record.channel, record.next_channel) == (CALL, TEXT_IN)
    stage.clock.advance(600)
    text = stage.channels.fall_back("web", record.id)
    assert (text.id, text.channel, text.call_number) == (record.id, TEXT_IN, None)
    assert text.expires_at == whole(stage) + seconds(900)
    # The channel that was left proves nothing any more.
    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED

    stage.clock.advance(600)
    code = stage.channels.fall_back("web", record.id)
    assert (code.channel, code.text_in, code.assurance) == (CODE, None, Assurance.ROUNDTRIP)
    assert len(stage.sender.sent) == 1
    with pytest.raises(NoFallback):
        stage.channels.fall_back("web", record.id)
    stage.clock.advance(600)
    assert stage.check(code).status is Status.VERIFIED
    assert stage.audited()["fallback"] == 2


def test_a_fallback_that_is_asked_for_again_is_answered_and_costs_nothing(stage: Stage) -> None:
    record = stage.start("every")

    results = together(20, lambda _: stage.channels.fall_back("web", record.id, CODE))

    assert len(stage.sender.sent) == 1
    assert {each.channel for each in results if isinstance(each, Verification)} == {CODE}
    assert not [each for each in results if not isinstance(each, Verification | NoFallback)], results
    assert stage.channels.fall_back("web", record.id, CODE).channel is CODE
    assert len(stage.sender.sent) == 1
    with pytest.raises(NoFallback):
        stage.channels.fall_back("web", record.id, TEXT_IN)


def test_a_fallback_to_a_call_orders_a_number(stage: Stage) -> None:
    record = stage.start("code_then_call")
    stage.clock.advance(400)
    # A call from before the channel was opened does not count.
    early = call_at(stage.clock() - seconds(60))

    moved = stage.channels.fall_back("web", record.id)
    assert (moved.channel, moved.call_number, moved.ordering_until) == (CALL, SHOWN, None)
    assert moved.assurance is Assurance.NETWORK
    assert stage.calls.record(early) is Outcome.EARLY
    stage.clock.advance(890)
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED


def test_a_replayed_call_of_an_earlier_channel_proves_nothing(stage: Stage) -> None:
    """A call counts only for the channel that was open when it rang, whether or not it was used."""
    record = stage.start("code_then_call")
    call = call_at(stage.clock())
    assert stage.calls.record(call) is Outcome.UNMATCHED
    stage.clock.advance(850)
    stage.channels.fall_back("web", record.id)
    stage.clock.advance(850)

    assert stage.calls.record(call) in (Outcome.EARLY, Outcome.REPEATED)
    assert stage.now(record).status is Status.PENDING


def test_an_order_of_a_fallback_that_fails_may_be_repeated(stage: Stage) -> None:
    record = stage.start("code_then_call")
    stage.provider.failures = [ProviderUnavailable()]
    with pytest.raises(ProviderUnavailable):
        stage.channels.fall_back("web", record.id)
    waiting = stage.now(record)
    assert (waiting.channel, waiting.call_number, waiting.status) == (CALL, None, Status.PENDING)
    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED

    results = together(10, lambda _: stage.channels.fall_back("web", record.id, CALL))
    assert len(stage.provider.orders) == 2
    assert [each for each in results if isinstance(each, Verification) and each.call_number == SHOWN]
    assert stage.calls.record(call_at(stage.clock() + seconds(1))) is Outcome.CONFIRMED


def test_while_the_order_of_a_fallback_is_under_way_no_other_is_placed(stage: Stage) -> None:
    record = stage.start("code_then_call")
    seen = []
    stage.provider.during = lambda: seen.append(stage.channels.fall_back("web", record.id, CALL))

    stage.channels.fall_back("web", record.id)

    assert len(stage.provider.orders) == 1
    assert [each.call_number for each in seen] == [None]


def test_an_order_that_died_with_its_process_can_be_placed_again(stage: Stage) -> None:
    record = stage.start("code_then_call")

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    stage.provider.during = die
    with pytest.raises(Killed):
        stage.channels.fall_back("web", record.id)
    stage.provider.during = lambda: None
    assert stage.channels.fall_back("web", record.id, CALL).call_number is None
    stage.clock.advance(30)
    assert stage.channels.fall_back("web", record.id, CALL).call_number == SHOWN


def test_an_order_that_another_request_has_placed_meanwhile_is_not_placed_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = stage.start("code_then_call")
    stage.provider.failures = [ProviderUnavailable()]
    with pytest.raises(ProviderUnavailable):
        stage.channels.fall_back("web", record.id)
    quick = stage.world.store.commit

    def overtaken(*_: object, **__: object) -> None:
        monkeypatch.setattr(stage.world.store, "commit", quick)
        assert stage.channels.fall_back("web", record.id, CALL).call_number == SHOWN

    monkeypatch.setattr(stage.world.store, "commit", overtaken)
    with pytest.raises(ProviderUnavailable) as refused:
        stage.channels.fall_back("web", record.id, CALL)
    assert refused.value.retry_after == 1
    assert len(stage.provider.orders) == 2


def test_a_channel_that_proves_too_little_is_no_fallback(stage: Stage) -> None:
    record = stage.start("strict")
    with pytest.raises(PhoneNumberNotAllowed):
        stage.channels.fall_back("web", record.id)
    assert stage.channels.fall_back("web", record.id, CODE).channel is CODE
    with pytest.raises(PhoneNumberNotAllowed):
        stage.start("strictest", CALL)


def test_a_channel_that_the_purpose_does_not_allow_is_refused(stage: Stage) -> None:
    with pytest.raises(ValidationFailed) as refused:
        stage.start("text_in", CODE)
    assert refused.value.errors == {"channel": ["This purpose allows text_in."]}
    assert not stage.sender.sent


def test_a_long_poll_ends_when_the_channel_changes(stage: Stage) -> None:
    record = stage.start("two_steps")
    answered: list[Verification] = []
    waiting = threading.Thread(
        target=lambda: answered.append(stage.verifications.get("web", record.id, wait_seconds=30)),
        # The test's clock stands still, so a poll that does not end would wait for ever.
        daemon=True,
    )
    waiting.start()
    stage.calls.record(call_at(stage.clock()))
    waiting.join(20)

    assert [each.channel for each in answered] == [CODE]


def test_a_fallback_that_the_record_refuses_costs_nothing(stage: Stage) -> None:
    limited = Stage(
        stage.world,
        stage.provider,
        stage.sender,
        stage.observer,
        stage.clock,
        replace(POLICY, limits={Scope.CLIENT: (Limit(1, 600),)}),
    )
    record = limited.start("every", TEXT_IN)
    # A used-up limit does not hide the refusal of the record.
    for _ in range(3):
        with pytest.raises(NoFallback):
            limited.channels.fall_back("web", record.id, CALL)
    with pytest.raises(RateLimited):
        limited.channels.fall_back("web", record.id, CODE)
    limited.clock.advance(600)
    assert limited.channels.fall_back("web", record.id, CODE).channel is CODE


def test_a_block_refuses_a_fallback(stage: Stage) -> None:
    record = stage.start("every")
    until = stage.clock() + seconds(600)
    stage.world.lists.put(
        ListEntry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value, reason="abuse", expires_at=until),
        stage.clock(),
    )
    with pytest.raises(Blocked):
        stage.channels.fall_back("web", record.id, CODE)
    assert stage.now(record).channel is CALL
