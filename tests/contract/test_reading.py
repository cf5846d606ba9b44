"""A long poll: what it reads, and when it is answered."""

import pytest

from service.application.calls import Calls
from service.application.ports import Change, Stored
from service.application.verifications import Start, Verifications
from service.domain.channel import Channel
from service.domain.errors import NotFound
from service.domain.status import Status
from service.domain.verification import Verification
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, call_at, use_cases
from tests.worlds import World


@pytest.fixture
def service(
    world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock
) -> tuple[Verifications, Calls]:
    return use_cases(world, provider, observer, clock)


@pytest.fixture
def record(service: tuple[Verifications, Calls]) -> Verification:
    verifications, _ = service
    started = verifications.start("web", Start(NUMBER.value, "login", "flow")).verification
    return verifications.get("web", started.id)


def reading(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the records that are read from now on."""
    read: list[str] = []
    get = world.store.get
    monkeypatch.setattr(world.store, "get", lambda each: read.append(each) or get(each))
    return read


def test_it_reads_waits_and_reads_again(world, service, record, clock, monkeypatch) -> None:
    verifications, calls = service
    read, waited = reading(world, monkeypatch), []

    def called(*_: object) -> bool:
        waited.append(len(read))
        calls.record(call_at(clock()))
        return True

    monkeypatch.setattr(world.changes, "wait_for_change", called)

    assert verifications.get("web", record.id, wait_seconds=30).status is Status.VERIFIED
    assert (waited, read) == ([1], [record.id] * 2)


def test_where_there_is_no_room_to_wait_what_was_read_is_answered(
    world, service, record, monkeypatch
) -> None:
    verifications, _ = service
    waited: list[float] = []
    monkeypatch.setattr(world.changes, "wait_for_change", lambda _, seconds: bool(waited.append(seconds)))
    read = reading(world, monkeypatch)

    assert verifications.get("web", record.id, wait_seconds=30).status is Status.PENDING
    assert (waited, read) == ([30], [record.id])


def test_where_nothing_is_to_come_nobody_waits(world, service, record, clock, monkeypatch) -> None:
    verifications, calls = service
    calls.record(call_at(clock()))
    monkeypatch.setattr(world.changes, "wait_for_change", lambda *_: pytest.fail("waits"))
    read = reading(world, monkeypatch)

    assert verifications.get("web", record.id, wait_seconds=5).status is Status.VERIFIED
    assert read == [record.id]
    with pytest.raises(NotFound):
        verifications.get("app", record.id, wait_seconds=5)


def test_where_another_process_moves_it_the_new_channel_is_answered_at_once(
    world, service, record, clock, monkeypatch
) -> None:
    """Who asked for nothing in particular knows the channel where it stood."""
    verifications, _ = service

    def moved(stored: Stored, _: float) -> bool:
        return world.store.commit(Change(stored, record.move(Channel.CODE, clock())), clock()) is not None

    monkeypatch.setattr(world.changes, "wait_for_change", moved)

    found = verifications.get("web", record.id, wait_seconds=30)

    assert (found.status, found.channel) == (Status.PENDING, Channel.CODE)


def test_who_knows_another_channel_is_answered_at_once(world, service, record, monkeypatch) -> None:
    verifications, _ = service
    monkeypatch.setattr(world.changes, "wait_for_change", lambda *_: pytest.fail("waits"))

    found = verifications.get("web", record.id, wait_seconds=30, seen=Channel.CODE)

    assert (found.status, found.channel) == (Status.PENDING, Channel.CALL)
