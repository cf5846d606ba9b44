"""Consuming a verification while others change it."""

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.memory import MemoryStore
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NOW, NUMBER, PAGES, admission, call_at, effects_of, use_cases
from tests.unit.application.conftest import entry
from tests.worlds import World
from waitcall.application.consume import ConsumeVerification, Proof
from waitcall.application.create import CreateCommand
from waitcall.application.ports import Change
from waitcall.application.records import Records
from waitcall.domain.errors import Blocked
from waitcall.domain.lists import ListAction, ListKind


class Looking(MemoryStore):
    """Store that changes the record and blocks its number just after both were read."""

    def get_with_lists(self, verification_id: str) -> Any:
        stored, directory = super().get_with_lists(verification_id)
        assert stored is not None
        after = replace(stored.verification, metadata={"changed": "meanwhile"})
        self.commit(Change(stored, after), NOW)
        self._lists.put(replace(entry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value), expires_at=None), NOW)
        return stored, directory


def test_a_consume_that_is_run_again_reads_the_lists_again(world: World, clock: FakeClock) -> None:
    verifications, calls = use_cases(world, FakeProvider(), RecordingObserver(), clock)
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    calls.record(call_at(clock()))
    store = Looking(world.limits, world.conversions, world.lists, world.audit)
    store._records, store._latest = world.store._records, world.store._latest
    records = Records(store, RecordingObserver(), effects_of())
    consuming = ConsumeVerification(records, admission(world, RecordingObserver()), PAGES, clock)
    with pytest.raises(Blocked):
        consuming.consume("web", made.id, Proof("login", "flow"))
