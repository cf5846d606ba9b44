"""Facts of a call that the observer is told: how late it came, and which one it was."""

import pytest

from service.application.verifications import Start
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, call_at, seconds, use_cases
from tests.worlds import memory_world


@pytest.mark.parametrize(("ago", "lag"), [(3, 3.25), (0, 0.25), (-4, 0)])
def test_a_call_is_as_late_as_its_callback_and_never_early_and_a_repeat_says_nothing(
    clock: FakeClock, observer: RecordingObserver, ago: int, lag: float
) -> None:
    verifications, calls = use_cases(memory_world(), FakeProvider(), observer, clock)
    verifications.start("web", Start(NUMBER.value, "login", "flow"))
    call = call_at(clock() - seconds(ago))
    calls.record(call)
    calls.record(call)
    assert observer.lags == [lag, None]
    assert observer.matched == [call]
