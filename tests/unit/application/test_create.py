"""Edge cases of a create."""

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import NUMBER, POLICY, use_cases
from tests.worlds import World
from waitcall.application.create import CreateCommand, Risk
from waitcall.domain.channel import Channel
from waitcall.domain.errors import RecordUnreadable, ValidationFailed, VerificationInProgress
from waitcall.domain.policy import SHORTEST_WINDOW_SECONDS, Client, Purpose


@pytest.mark.parametrize(
    ("asked", "is_allowed"),
    [(SHORTEST_WINDOW_SECONDS - 1, False), (SHORTEST_WINDOW_SECONDS, True), (900, True), (901, False)],
)
def test_a_window_is_between_the_shortest_and_the_longest_of_its_purpose(
    world: World, clock: FakeClock, asked: int, is_allowed: bool
) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    ask = CreateCommand(NUMBER.value, "login", "flow", window_seconds=asked)
    if is_allowed:
        assert verifications.start("web", ask).verification.window_seconds == asked
        return
    with pytest.raises(ValidationFailed):
        verifications.start("web", ask)


def test_a_number_whose_record_cannot_be_read_is_taken(
    world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)

    def unreadable(*_: Any) -> Any:
        raise RecordUnreadable(retry_after=7)

    monkeypatch.setattr(world.store, "creation_context", unreadable)
    with pytest.raises(VerificationInProgress) as taken:
        verifications.start("web", CreateCommand(NUMBER.value, "login", "flow"))
    assert taken.value.retry_after == 7


def test_without_a_captcha_rule_no_captcha_is_demanded(world: World, clock: FakeClock) -> None:
    coded = replace(
        POLICY,
        purposes={"code": Purpose("code", channels=(Channel.CODE, Channel.CALL))},
        clients={"web": Client("web", frozenset({"code"}))},
        code_texts={"en": "{code}"},
    )
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock, coded, FakeSender())
    ask = CreateCommand(NUMBER.value, "code", "flow", risk=Risk.HIGH)
    assert verifications.start("web", ask).verification.channel is Channel.CODE


@pytest.mark.parametrize("wrong", [{"window_seconds": 901}, {"return_url": "https://elsewhere.example.org/"}])
def test_a_wrong_request_is_refused_before_anything_is_read(
    world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    reads: list[Any] = []
    monkeypatch.setattr(world.store, "creation_context", lambda *asked: reads.append(asked))
    with pytest.raises(ValidationFailed):
        verifications.start("web", CreateCommand(NUMBER.value, "login", "flow", **wrong))
    assert reads == []
