"""Long polls: how often they read the record, and when they are answered."""

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, Verifications, call_at, use_cases
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.ports import Change, Stored
from waitcall.application.record_call import RecordInboundCall
from waitcall.domain.channel import Channel
from waitcall.domain.errors import NotFound
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification


@pytest.fixture
def service(
    world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock
) -> tuple[Verifications, RecordInboundCall]:
    return use_cases(world, provider, observer, clock)


@pytest.fixture
def record(service: tuple[Verifications, RecordInboundCall]) -> Verification:
    verifications, _ = service
    started = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    return verifications.get("web", started.id)


def reading(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the ids of the records that are read from now on."""
    read: list[str] = []
    get = world.store.get
    monkeypatch.setattr(world.store, "get", lambda each: read.append(each) or get(each))
    return read


def test_a_long_poll_reads_waits_and_reads_again(world, service, record, clock, monkeypatch) -> None:
    verifications, calls = service
    read, waited = reading(world, monkeypatch), []

    def called(*_: object) -> bool:
        waited.append(len(read))
        calls.record(call_at(clock()))
        return True

    monkeypatch.setattr(world.changes, "wait_for_change", called)

    assert verifications.get("web", record.id, wait_seconds=30).status is Status.VERIFIED
    assert (waited, read) == ([1], [record.id] * 2)


def test_a_poll_that_cannot_wait_is_answered_with_what_it_read(world, service, record, monkeypatch) -> None:
    verifications, _ = service
    waited: list[float] = []
    monkeypatch.setattr(world.changes, "wait_for_change", lambda _, seconds: bool(waited.append(seconds)))
    read = reading(world, monkeypatch)

    assert verifications.get("web", record.id, wait_seconds=30).status is Status.PENDING
    assert (waited, read) == ([30], [record.id])


def test_a_poll_of_a_verified_record_does_not_wait(world, service, record, clock, monkeypatch) -> None:
    verifications, calls = service
    calls.record(call_at(clock()))
    monkeypatch.setattr(world.changes, "wait_for_change", lambda *_: pytest.fail("the poll waits"))
    read = reading(world, monkeypatch)

    assert verifications.get("web", record.id, wait_seconds=5).status is Status.VERIFIED
    assert read == [record.id]
    with pytest.raises(NotFound):
        verifications.get("app", record.id, wait_seconds=5)


def test_a_poll_is_answered_when_another_process_changes_the_channel(
    world, service, record, clock, monkeypatch
) -> None:
    """A poll that names no channel is taken to know the channel that it read first."""
    verifications, _ = service

    def moved(stored: Stored, _: float) -> bool:
        return world.store.commit(Change(stored, record.move(Channel.CODE, clock())), clock()) is not None

    monkeypatch.setattr(world.changes, "wait_for_change", moved)

    found = verifications.get("web", record.id, wait_seconds=30)

    assert (found.status, found.channel) == (Status.PENDING, Channel.CODE)


def test_a_poll_that_names_another_channel_is_answered_at_once(world, service, record, monkeypatch) -> None:
    verifications, _ = service
    monkeypatch.setattr(world.changes, "wait_for_change", lambda *_: pytest.fail("the poll waits"))

    found = verifications.get("web", record.id, wait_seconds=30, seen=Channel.CODE)

    assert (found.status, found.channel) == (Status.PENDING, Channel.CALL)
