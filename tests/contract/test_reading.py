"""A long poll of a record that the process remembers: what it reads, and that it never answers from memory."""

import pytest

from service.application.calls import Calls
from service.application.ports import Stored
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


def remembered(world: World, record: Verification) -> Stored:
    stored = world.store.recall(record.id)
    assert stored is not None
    return stored


def test_it_waits_first_and_reads_once(world, service, record, clock, monkeypatch) -> None:
    verifications, calls = service
    read, waited = [], []
    get = world.store.get
    monkeypatch.setattr(world.store, "get", lambda each: read.append(each) or get(each))

    def called(*_: object) -> bool:
        waited.append(len(read))
        calls.record(call_at(clock()))
        return True

    monkeypatch.setattr(world.store, "wait_for_change", called)

    assert verifications.get("web", record.id, wait_seconds=30).status is Status.VERIFIED
    assert (waited, read) == ([0], [record.id])


def test_where_there_is_no_room_to_wait_it_asks_once_and_reads(world, service, record, monkeypatch) -> None:
    verifications, _ = service
    waited: list[float] = []
    monkeypatch.setattr(world.store, "wait_for_change", lambda _, seconds: bool(waited.append(seconds)))

    assert verifications.get("web", record.id, wait_seconds=30).status is Status.PENDING
    assert waited == [30]


def test_whatever_is_remembered_what_stands_there_is_answered(
    world, service, record, clock, monkeypatch
) -> None:
    verifications, calls = service
    pending = remembered(world, record)
    calls.record(call_at(clock()))
    verified = remembered(world, record)
    for memory in (pending, verified, None):
        monkeypatch.setattr(world.store, "recall", lambda _, memory=memory: memory)

        assert verifications.get("web", record.id, wait_seconds=5).status is Status.VERIFIED
        with pytest.raises(NotFound):
            verifications.get("app", record.id, wait_seconds=5)


def test_where_another_process_has_moved_it_the_new_channel_is_answered_at_once(
    world, service, record, clock, monkeypatch
) -> None:
    """Who asked for nothing in particular may not know of it yet."""
    verifications, _ = service
    before = remembered(world, record)
    moved = record.move(Channel.CODE, clock())
    assert world.store.replace(before, moved, clock()) is not None
    monkeypatch.setattr(world.store, "recall", lambda _: before)

    found = verifications.get("web", record.id, wait_seconds=30)

    assert (found.status, found.channel) == (Status.PENDING, Channel.CODE)


def test_one_that_nobody_remembers_is_read_once_too_where_there_is_no_room_to_wait(
    world, service, record, monkeypatch
) -> None:
    verifications, _ = service
    read: list[str] = []
    get = world.store.get
    monkeypatch.setattr(world.store, "recall", lambda _: None)
    monkeypatch.setattr(world.store, "get", lambda each: read.append(each) or get(each))
    monkeypatch.setattr(world.store, "wait_for_change", lambda *_: False)

    assert verifications.get("web", record.id, wait_seconds=30).status is Status.PENDING
    assert read == [record.id]
