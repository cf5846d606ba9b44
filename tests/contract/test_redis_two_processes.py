"""Processes that share a Redis decide by the record as it is now."""

from collections.abc import Iterator

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, OTHER_NUMBER, Verifications, call_at, use_cases
from tests.redis_servers import Server
from tests.worlds import redis_world
from waitcall.adapters.http.answers import dump_verification
from waitcall.application.create import CreateCommand
from waitcall.application.record_call import RecordInboundCall
from waitcall.domain.errors import AlreadyConsumed, NotFound
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Status


@pytest.fixture
def processes(valkey: Server, clock: FakeClock) -> Iterator[list[tuple[Verifications, RecordInboundCall]]]:
    """Use cases of two processes over one empty store."""
    observer, provider = RecordingObserver(), FakeProvider()
    with redis_world(valkey.url) as here, redis_world(valkey.url) as there:
        with valkey.client() as client:
            client.flushall()
        yield [use_cases(world, provider, observer, clock) for world in (here, there)]


def test_a_consume_is_decided_by_the_record_as_it_is_now(
    processes: list[tuple[Verifications, RecordInboundCall]], clock: FakeClock
) -> None:
    """Each process has read a record that the other then changes."""
    (mine, _), (theirs, calls) = processes
    record = mine.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    assert mine.get("web", record.id).status is Status.PENDING
    calls.record(call_at(clock()))
    # This process read the record as pending, in which state a consume would be refused.
    assert mine.consume("web", record.id, "login", "flow").status is Status.CONSUMED

    other = mine.start("web", CreateCommand(OTHER_NUMBER.value, "login", "flow")).verification
    calls.record(call_at(clock(), OTHER_NUMBER))
    assert mine.get("web", other.id).status is Status.VERIFIED
    theirs.consume("web", other.id, "login", "flow")
    # This process read the record as verified, in which state a second consume would succeed.
    with pytest.raises(AlreadyConsumed):
        mine.consume("web", other.id, "login", "flow")
    with pytest.raises(NotFound):
        mine.consume("app", other.id, "login", "flow")


def test_a_call_is_matched_with_the_record_as_it_is_now(
    processes: list[tuple[Verifications, RecordInboundCall]], clock: FakeClock
) -> None:
    """A process creates each record, and the other process changes it before the call."""
    (mine, calls), (theirs, other_calls) = processes

    def remembered(**asked: str) -> str:
        return mine.start(
            "web", CreateCommand(**({"phone_number": NUMBER.value, "purpose": "login"} | asked))
        ).verification.id

    first = remembered(reference="flow")
    theirs.cancel("web", first)
    assert calls.record(call_at(clock())) is Outcome.UNMATCHED
    assert mine.get("web", first).status is Status.CANCELED

    second = remembered(reference="flow")
    clock.advance(1)
    assert other_calls.record(call_at(clock())) is Outcome.CONFIRMED
    assert calls.record(call_at(clock())) is Outcome.REPEATED
    clock.advance(1)
    assert calls.record(call_at(clock())) is Outcome.REPEATED
    assert mine.consume("web", second, "login", "flow").status is Status.CONSUMED

    third = remembered(phone_number=OTHER_NUMBER.value, reference="flow")
    theirs.cancel("web", third)
    fourth = theirs.start("web", CreateCommand(OTHER_NUMBER.value, "login", "other")).verification.id
    clock.advance(1)
    # The call matches the number's latest record, which this process has never read.
    assert calls.record(call_at(clock(), OTHER_NUMBER)) is Outcome.CONFIRMED
    assert mine.get("web", third).status is Status.CANCELED
    assert mine.get("web", fourth).status is Status.VERIFIED


def test_two_processes_give_the_same_answer_about_a_record(
    processes: list[tuple[Verifications, RecordInboundCall]], clock: FakeClock
) -> None:
    """This holds after each change of the record."""
    (mine, calls), (theirs, _) = processes
    asked = CreateCommand(NUMBER.value, "login", "flow", locale="ru", metadata={"flow": "a"})
    record = mine.start("web", asked).verification
    for change in (
        lambda: None,
        lambda: calls.record(call_at(clock())),
        lambda: mine.consume("web", record.id, "login", "flow"),
    ):
        change()
        told, read = (dump_verification(each.get("web", record.id), clock()) for each in (mine, theirs))
        assert told == read
    assert told["status"] == "consumed"
