"""The observer is told which call matched and how late its callback came."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.memory import MemoryStore
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, POLICY, call_at, seconds, use_cases
from tests.unit.application.conftest import entry
from tests.worlds import World, memory_world
from waitcall.application.create import CreateCommand
from waitcall.application.record_call import SKEW
from waitcall.domain.errors import VerificationInProgress
from waitcall.domain.lists import ListAction, ListKind
from waitcall.domain.matching import Outcome
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS, Client, OnConcurrent, Purpose
from waitcall.domain.status import Status

CONTESTABLE = replace(
    POLICY,
    purposes={"contested": Purpose("contested", on_concurrent=OnConcurrent.CONTEST)},
    clients={name: Client(name, frozenset({"contested"})) for name in ("web", "app")},
)


@pytest.mark.parametrize(("ago", "lag"), [(3, 3.25), (0, 0.25), (-4, 0)])
def test_the_lag_of_a_callback_is_never_negative_and_a_repeat_has_none(
    clock: FakeClock, observer: RecordingObserver, ago: int, lag: float
) -> None:
    verifications, calls = use_cases(memory_world(), FakeProvider(), observer, clock)
    verifications.start("web", CreateCommand(NUMBER.value, "login", "flow"))
    call = call_at(clock() - seconds(ago))
    calls.record(call)
    calls.record(call)
    assert observer.lags == [lag, None]
    assert observer.matched == [call]


class Claiming(MemoryStore):
    """Store that records the ``keep_until`` and the change of each claim."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.claims: list[tuple[Any, Any]] = []

    def claim(self, call: Any, keep_until: Any, change: Any, *rest: Any) -> Any:
        self.claims.append((keep_until, change))
        return super().claim(call, keep_until, change, *rest)


@pytest.mark.parametrize("rang", [-30, 0, 3])
def test_a_used_call_is_kept_for_as_long_as_any_window_could_still_take_it(
    clock: FakeClock, rang: int
) -> None:
    world = memory_world(Claiming)
    calls = use_cases(world, FakeProvider(), RecordingObserver(), clock)[1]
    call = call_at(clock() + seconds(rang))
    calls.record(call)
    longest = timedelta(seconds=LONGEST_WINDOW_SECONDS) + 2 * SKEW
    assert world.store.claims == [(max(call.at, clock()) + longest, None)]


def test_a_call_that_changes_nothing_is_used_up_without_writing_the_record(clock: FakeClock) -> None:
    world = memory_world(Claiming)
    verifications, calls = use_cases(world, FakeProvider(), RecordingObserver(), clock, CONTESTABLE)
    verifications.start("web", CreateCommand(NUMBER.value, "contested", "flow"))
    with pytest.raises(VerificationInProgress):
        verifications.start("app", CreateCommand(NUMBER.value, "contested", "other"))
    assert calls.record(call_at(clock())) is Outcome.CONTESTED
    assert [change for _, change in world.store.claims] == [None]


def test_no_call_verifies_a_blocked_number_even_while_its_record_is_pending(
    world: World, clock: FakeClock
) -> None:
    verifications, calls = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    world.lists.put(
        replace(entry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value), expires_at=clock() + seconds(60)),
        clock(),
    )
    assert calls.record(call_at(clock())) is Outcome.UNMATCHED
    assert verifications.get("web", made.id).status is Status.CANCELED
