"""Sweeps settle what is due, each record once."""

import pytest

from tests.contract.use_cases.conftest import ASK
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import (
    NUMBER,
    call_at,
    opened,
    plan,
    records_of,
    reserve,
    seconds,
    together,
    use_cases,
)
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.expire import ExpireVerifications
from waitcall.domain.errors import ProviderError
from waitcall.domain.matching import Kind
from waitcall.domain.numbers import E164
from waitcall.domain.status import Reason, Status


def test_many_sweepers_settle_each_record_once(world, service, clock, observer, provider) -> None:
    verifications, calls = service
    verifications.start("web", ASK)
    verifications.start("web", CreateCommand("+79991234568", "login", "flow"))
    provider.failures = [ProviderError()]
    with pytest.raises(ProviderError):
        verifications.start("web", CreateCommand("+79991234569", "login", "flow"))
    calls.record(call_at(clock()))
    sweep = ExpireVerifications(records_of(world, observer), world.deadlines, clock)
    assert sweep.run() == 0
    clock.advance(900)

    together(20, lambda _: sweep.run())
    sweep.run()

    assert observer.counts["finished", "lapsed", "not_consumed"] == 1
    assert observer.counts["finished", "expired", "no_call"] == 1
    assert sweep.run() == 0


def test_a_sweep_goes_on_until_nothing_is_due(world, service, clock, observer) -> None:
    """The store returns a hundred deadlines of each part at a time, and a busy service has more."""
    for index in range(1200):
        number = E164(f"+7999123{index:04}")
        reserve(world.store, opened(world.store.new_id(number), number=number, now=clock()), None, clock())
    clock.advance(60)
    sweep = ExpireVerifications(records_of(world, observer), world.deadlines, clock)
    assert [sweep.run(), sweep.run()] == [1200, 0]


def test_a_patient_sweep_leaves_records_that_are_just_due_to_others(world, service, clock, observer) -> None:
    verifications, _ = service
    verifications.start("web", ASK)
    sweep = ExpireVerifications(records_of(world, observer), world.deadlines, clock)
    # The record is due at the end of the order's lease. This sweep postpones it to the end of the window.
    clock.advance(60)
    assert sweep.run() == 1
    clock.advance(844)
    assert sweep.run(seconds(5)) == 0
    clock.advance(1)
    assert [sweep.run(seconds(5)), sweep.run()] == [1, 0]
    assert observer.counts["finished", "expired", "no_call"] == 1


def test_a_sweep_comes_back_for_a_result_that_may_still_be_consumed(world, service, clock, observer) -> None:
    """A deadline is written before its record, so a sweep may come too early."""
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    calls.record(call_at(clock()))
    stored = world.store.get(record.id)
    assert stored is not None
    plan(world.store, stored, clock(), clock())
    sweep = ExpireVerifications(records_of(world, observer), world.deadlines, clock)
    assert [sweep.run(), sweep.run()] == [1, 0]
    assert observer.counts["finished", "lapsed", "not_consumed"] == 0
    clock.advance(300)

    assert sweep.run() == 1
    assert observer.counts["finished", "lapsed", "not_consumed"] == 1


def test_a_lapse_is_counted_when_it_happens(world, service, clock, observer) -> None:
    """It is counted when the result ends, not when the window would have ended."""
    verifications, calls = service
    verifications.start("web", ASK)
    calls.record(call_at(clock()))
    sweep = ExpireVerifications(records_of(world, observer), world.deadlines, clock)
    clock.advance(300)

    assert [sweep.run(), sweep.run()] == [1, 0]
    assert observer.counts["finished", "lapsed", "not_consumed"] == 1


def test_a_broken_record_does_not_keep_the_sweep_from_the_others(
    world, service, clock, observer, monkeypatch
) -> None:
    verifications, _ = service
    broken = verifications.start("web", ASK).verification.id
    clock.advance(1)
    verifications.start("web", CreateCommand("+79991234568", "login", "flow"))
    read = world.store.get_many

    def read_unless_broken(verification_ids):
        found = zip(verification_ids, read(verification_ids), strict=True)
        return [ValueError("cannot be read") if each == broken else stored for each, stored in found]

    monkeypatch.setattr(world.store, "get_many", read_unless_broken)
    clock.advance(900)
    sweep = ExpireVerifications(records_of(world, observer), world.deadlines, clock)

    with pytest.raises(ValueError, match="cannot be read"):
        sweep.run()
    assert observer.counts["finished", "expired", "no_call"] == 1
    assert sweep.run() == 0
    clock.advance(60)
    monkeypatch.setattr(world.store, "get_many", read)
    assert sweep.run() == 1
    assert observer.counts["finished", "expired", "no_call"] == 2


def test_a_consumed_record_is_forgotten_by_the_sweep(world, service, clock, observer) -> None:
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    calls.record(call_at(clock()))
    verifications.consume("web", record.id, "login", "flow")
    clock.advance(900)
    sweep = ExpireVerifications(records_of(world, observer), world.deadlines, clock)

    assert [sweep.run(), sweep.run()] == [1, 0]
    assert observer.counts["finished", "consumed", "call_matched"] == 1


def test_an_order_that_died_with_its_process_is_recorded_as_failed(
    world: World, clock: FakeClock, observer: RecordingObserver
) -> None:
    record = opened(world.store.new_id(NUMBER), now=clock())
    verifications, _ = use_cases(world, provider := FakeProvider(), observer, clock)

    def die() -> None:
        raise SystemExit

    provider.during = die
    with pytest.raises(SystemExit):
        verifications.start("web", CreateCommand(phone_number=NUMBER.value, purpose="login"))
    clock.advance(29)
    ExpireVerifications(records_of(world, observer), world.deadlines, clock).run()
    assert observer.counts["finished", "failed", str(Reason.PROVIDER_UNAVAILABLE)] == 1
    assert not world.deadlines.is_busy()
    assert world.store.latest_of(record.phone_number.value).verification.status is Status.FAILED


def test_the_window_of_a_shown_number_is_swept_at_its_end_and_counted_once(
    world: World, clock: FakeClock, observer: RecordingObserver
) -> None:
    verifications, _ = use_cases(world, FakeProvider(), observer, clock)
    verifications.start("web", CreateCommand(phone_number=NUMBER.value, purpose="login"))
    sweeps = [ExpireVerifications(records_of(world, observer), world.deadlines, clock) for _ in range(2)]
    for moment in (29, 871.5, 1.5):
        clock.advance(moment)
        for sweep in sweeps:
            sweep.run()
    assert observer.counts["finished", "expired", "no_call"] == 1
    assert not world.deadlines.is_busy()
    assert observer.counts["callback", str(Kind.CALL), "confirmed"] == 0
