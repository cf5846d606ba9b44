"""Reading and changing records."""

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NOW, NUMBER, effects_of, pending, use_cases
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.records import Records
from waitcall.domain.errors import NotFound
from waitcall.domain.policy import OnConcurrent, Purpose


@pytest.mark.parametrize("client", ["app", "nobody"])
def test_another_clients_record_is_not_found(world: World, clock: FakeClock, client: str) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    records = Records(world.store, RecordingObserver(), effects_of())
    with pytest.raises(NotFound):
        records.found(client, made.id, clock())
    assert records.found("web", made.id, clock()).verification == made


def test_a_transition_that_changes_nothing_is_not_written(world: World, clock: FakeClock) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    records = Records(world.store, RecordingObserver(), effects_of())
    stored = world.store.get(made.id)
    assert stored is not None
    assert records.changed(stored, lambda record: record, clock()) == made
    assert world.store.get(made.id) == stored
    records.changed(stored, lambda record: record, clock(), anew=True)
    assert world.store.get(made.id) != stored


def test_each_change_is_counted_once(world: World) -> None:
    contesting = Purpose("login", on_concurrent=OnConcurrent.CONTEST)
    waiting = pending(rules=contesting)
    contested = waiting.contest(NOW)
    told = RecordingObserver()
    records = Records(world.store, told, effects_of())
    for before, after in ((waiting, contested), (contested, contested), (waiting, waiting)):
        records.announce(before, after)
    assert told.counts == {("contested",): 1}
