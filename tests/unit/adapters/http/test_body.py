"""LowPriorityQueue for long bodies: they are read one at a time, short ones pass, and no request waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.making import together
from waitcall.adapters.http import body as module
from waitcall.adapters.http.body import LONG_BYTES, LowPriorityQueue
from waitcall.domain.errors import RateLimited

LONG, SHORT = b"a" * (LONG_BYTES + 1), b"a" * LONG_BYTES


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make the queue not sleep, and return the list of the seconds that it would have slept."""
    rested: list[float] = []
    monkeypatch.setattr(module, "sleep", rested.append)
    return rested


def test_long_bodies_are_read_one_at_a_time(rests: list[float]) -> None:
    queue, busy, most = LowPriorityQueue(), threading.Semaphore(1), []

    def read(_: int) -> None:
        with queue.turn_if_long(LONG):
            most.append(busy.acquire(blocking=False))
            busy.release()

    together(20, read)

    assert most == [True] * 20
    assert len(rests) == 20


def test_a_short_message_passes_while_long_ones_wait(rests: list[float]) -> None:
    queue = LowPriorityQueue()
    with queue.turn(), ThreadPoolExecutor(1) as others:
        waiting = others.submit(lambda: queue.turn_if_long(LONG).__enter__())
        with queue.turn_if_long(SHORT):
            assert not waiting.done()
        assert rests == []


def test_each_rest_follows_from_the_time_of_the_work_and_is_bounded(
    rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = iter([10.0, 10.002, 20.0, 20.5, 30.0, 30.0])
    monkeypatch.setattr(module, "thread_time", lambda: next(used))
    queue = LowPriorityQueue()

    for _ in range(2):
        with queue.turn_if_long(LONG):
            pass
    queue.refuse()

    assert rests == [pytest.approx(0.2), module.LONGEST_REST_SECONDS, module.SHORTEST_REST_SECONDS]


def test_a_body_that_gets_no_turn_is_refused_and_a_refusal_goes_on_without_one(
    rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    queue = LowPriorityQueue()
    with queue.turn():
        with pytest.raises(RateLimited), queue.turn_if_long(LONG):
            pass
        queue.refuse()
    with queue.turn_if_long(LONG):
        pass


def test_work_that_fails_ends_its_turn(rests: list[float]) -> None:
    queue = LowPriorityQueue()
    with pytest.raises(ValueError, match="unreadable"), queue.turn_if_long(LONG):
        raise ValueError("unreadable")
    with queue.turn_if_long(LONG):
        pass
    assert len(rests) == 2
