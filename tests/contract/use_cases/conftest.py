"""Use cases over every store, with a clock that the tests move."""

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, use_cases
from tests.worlds import World
from waitcall.application.create import CreateCommand

ASK = CreateCommand(NUMBER.value, "login", "flow")


@pytest.fixture(autouse=True)
def _stage(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> None:
    """Run every test of this folder over every store."""


@pytest.fixture
def service(world, provider, observer, clock):
    return use_cases(world, provider, observer, clock)
