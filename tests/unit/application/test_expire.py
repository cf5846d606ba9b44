"""Sweep over due records, some of which are gone, cannot be read, or cannot be settled."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.memory import MemoryDeadlines, MemoryStore
from tests.fakes.outside import RecordingObserver
from tests.making import effects_of, pending, plan, records_of, reserve, seconds
from tests.worlds import memory_world
from waitcall.application.expire import BROKEN_AGAIN, ExpireVerifications
from waitcall.application.ports import Stored
from waitcall.application.records import Records
from waitcall.domain.errors import RecordUnreadable, StoreUnavailable
from waitcall.domain.numbers import E164
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification


class Garbled(MemoryStore):
    """Store that returns ``instead[id]`` for an id that is in it."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.instead: dict[str, Exception | None] = {}

    def get_many(self, verification_ids: Sequence[str]) -> Sequence[Stored | Exception | None]:
        return [self.instead.get(each) or self.get(each) for each in verification_ids]


class OneByOne(MemoryDeadlines):
    def due(self, now: datetime) -> list[str]:
        return super().due(now)[:1]


class Garden:
    def __init__(self, clock: FakeClock) -> None:
        self.store = memory_world(Garbled).store
        self.deadlines = self.store.deadlines = OneByOne()
        self.clock, self.observer = clock, RecordingObserver()
        self.reminded: list[str] = []
        self._numbers = 0

    def kept(self, verification_id: str, due_in: float = 0) -> None:
        self._numbers += 1
        number = E164(f"+7999123{self._numbers:04}")
        record = pending(verification_id, number=number, now=self.clock())
        stored = reserve(self.store, record, None, self.clock())
        assert stored is not None
        plan(self.store, stored, self.clock() + seconds(due_in), self.clock())

    def sweep(self, patience: float = 0) -> int:
        return ExpireVerifications(
            Records(self.store, self.observer, effects_of()), self.deadlines, self.clock, remind=self._remind
        ).run(seconds(patience))

    def _remind(self, record: Verification, now: datetime) -> None:
        assert now == self.clock()
        self.reminded.append(record.id)


@pytest.fixture
def garden(clock: FakeClock) -> Garden:
    return Garden(clock)


def test_due_records_are_settled_and_scheduled_for_their_next_deadline(garden: Garden) -> None:
    for number in range(3):
        garden.kept(f"ver_{number}")
    garden.kept("later", due_in=1)
    assert garden.sweep() == 3
    assert garden.reminded == ["ver_0", "ver_1", "ver_2"]
    garden.clock.advance(899)
    assert garden.sweep() == 1
    garden.clock.advance(1)
    assert garden.sweep() == 4
    assert garden.observer.counts["finished", "expired", "no_call"] == 4
    assert garden.sweep() == 0


def test_a_record_due_for_less_than_the_patience_is_left_to_others(garden: Garden) -> None:
    garden.kept("ver_1")
    garden.clock.advance(9)
    assert garden.sweep(patience=10) == 0
    garden.clock.advance(1)
    assert garden.sweep(patience=10) == 1


def test_a_record_that_is_gone_is_forgotten(garden: Garden) -> None:
    garden.kept("ver_gone")
    del garden.store._records["ver_gone"]
    assert (garden.sweep(), garden.sweep()) == (1, 0)


@pytest.mark.parametrize("trouble", [RecordUnreadable(), ValueError("broken")])
def test_a_record_that_fails_is_tried_again_later_and_delays_no_other(
    garden: Garden, trouble: Exception
) -> None:
    garden.kept("ver_1")
    garden.kept("ver_2")
    garden.store.instead["ver_1"] = trouble
    if isinstance(trouble, RecordUnreadable):
        assert garden.sweep() == 2
    else:
        with pytest.raises(ValueError, match="broken"):
            garden.sweep()
    assert garden.reminded == ["ver_2"]
    garden.store.instead.clear()
    garden.clock.advance(BROKEN_AGAIN.total_seconds() - 1)
    assert garden.sweep() == 0
    garden.clock.advance(1)
    assert garden.sweep() == 1
    assert garden.reminded == ["ver_2", "ver_1"]


def test_a_store_that_is_away_ends_the_pass_and_leaves_everything_due(garden: Garden) -> None:
    garden.kept("ver_1")
    garden.store.instead["ver_1"] = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        garden.sweep()
    garden.store.instead.clear()
    assert garden.sweep() == 1


def test_a_sweep_without_a_reminder_settles_records_too(garden: Garden) -> None:
    garden.kept("ver_1")
    garden.clock.advance(900)
    assert ExpireVerifications(records_of(garden, garden.observer), garden.deadlines, garden.clock).run() == 1
    (stored,) = garden.store._records.values()
    assert stored.verification.status is Status.EXPIRED
