"""Reading a verification."""

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, use_cases
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.domain.errors import NotFound


def test_a_record_that_is_still_being_ordered_is_not_shown(world: World, clock: FakeClock) -> None:
    provider = FakeProvider()
    verifications, _ = use_cases(world, provider, RecordingObserver(), clock)
    seen: list[Exception] = []

    def look() -> None:
        stored = world.store.latest_of(NUMBER.value)
        assert stored is not None
        try:
            verifications.get("web", stored.verification.id)
        except NotFound as error:
            seen.append(error)

    provider.during = look
    verifications.start("web", CreateCommand(NUMBER.value, "login", "flow"))
    assert len(seen) == 1
