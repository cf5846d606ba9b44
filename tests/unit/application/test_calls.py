"""The observer is told which call matched and how late its callback came."""

import pytest
from waitcall.application.create import CreateCommand

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, call_at, seconds, use_cases
from tests.worlds import memory_world


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
