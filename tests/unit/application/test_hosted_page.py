"""Reads and polls of the hosted page, and the semaphore that bounds them."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, PAGES, POLICY, reading_of, together, use_cases
from tests.unit.application.conftest import ADDRESS
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.hosted_page import PATIENCE_SECONDS, FairSemaphore, ReadPage
from waitcall.domain.errors import NotFound, StoreUnavailable
from waitcall.domain.policy import Client
from waitcall.domain.verification import Verification


def pages(world: World, clock: FakeClock, rest: Any = lambda: None) -> ReadPage:
    return ReadPage(
        store=world.store,
        reading=reading_of(world, RecordingObserver(), clock),
        seals=PAGES,
        limits=world.limits,
        clock=clock,
        public_url="https://verify.example.org",
        max_waiting=1,
        rest=rest,
    )


def test_a_read_of_a_page_that_gets_no_slot_is_told_when_to_ask_again(
    world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def acquire(_: FairSemaphore, patience: float = 0) -> bool:
        asked.append(patience)
        return False

    hosted = pages(world, clock)
    monkeypatch.setattr(FairSemaphore, "acquire", acquire)
    with pytest.raises(StoreUnavailable) as busy:
        hosted.look("token", ADDRESS)
    assert (busy.value.retry_after, asked) == (1, [PATIENCE_SECONDS])


def test_each_read_of_a_page_rests_before_the_next_begins(world: World, clock: FakeClock) -> None:
    rests, reading = [], threading.Lock()

    def rest() -> None:
        rests.append(reading.acquire(blocking=False))
        reading.release()

    hosted = pages(world, clock, rest)
    for result in together(5, lambda _: hosted.look("nothing", ADDRESS)):
        assert isinstance(result, NotFound)
    assert rests == [True] * 5


def test_a_poll_gives_its_place_back(world: World, clock: FakeClock) -> None:
    verifications, _ = use_cases(world, FakeProvider(), RecordingObserver(), clock, HOSTING)
    made = verifications.start(
        "web", CreateCommand(NUMBER.value, "login", "flow", return_url="https://login.example.org/done")
    ).verification
    hosted = pages(world, clock)
    token = str(hosted.url_of(made)).rpartition("/")[2]
    waits: list[int] = []

    def read(client: str, verification_id: str, wait_seconds: int, seen: Any, **_: Any) -> Verification:
        waits.append(wait_seconds)
        return made

    hosted._reading = type("Reads", (), {"look": staticmethod(read)})()
    for address in (ADDRESS, None, ADDRESS):
        hosted.look(token, address, 25)
    assert waits == [25, 25, 25]


HOSTING = replace(
    POLICY,
    clients={
        "web": Client("web", frozenset({"login"}), return_origins=frozenset({"https://login.example.org"}))
    },
)


def test_a_semaphore_is_acquired_no_more_often_than_its_count() -> None:
    semaphore = FairSemaphore(7)
    assert together(50, lambda _: semaphore.acquire()).count(True) == 7
    semaphore.release()
    assert together(50, lambda _: semaphore.acquire()).count(True) == 1


def test_a_waiting_thread_acquires_the_semaphore_that_is_released() -> None:
    semaphore = FairSemaphore(1)
    acquired = together(20, lambda _: semaphore.acquire(30) and semaphore.release() is None)
    assert acquired == [True] * 20


def test_a_wait_for_a_semaphore_ends_after_the_given_seconds() -> None:
    semaphore = FairSemaphore(0)
    assert not semaphore.acquire(0.01)
    assert not semaphore.acquire()
