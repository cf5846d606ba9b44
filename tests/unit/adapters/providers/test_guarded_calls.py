"""Circuit breaker, with a clock that the tests move."""

import pytest

from waitcall.adapters.providers.guarded_calls import Breaker


class Clock:
    """Clock in seconds that stands still until a test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(3, 10, clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_the_breaker_opens_at_so_many_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert breaker.seconds_left == 0
    fail(breaker, 1)
    assert breaker.seconds_left == 10


def test_a_success_between_failures_starts_the_count_again(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.seconds_left == 0


def test_the_pause_ends(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 9.5
    assert breaker.seconds_left == 0.5
    clock.now += 0.5
    assert breaker.seconds_left == 0


def test_failures_of_requests_under_way_do_not_prolong_the_pause(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 9
    fail(breaker, 5)
    assert breaker.seconds_left == 1


def test_a_success_of_a_request_under_way_closes_the_breaker(breaker: Breaker) -> None:
    fail(breaker, 3)
    breaker.succeeded()
    assert breaker.seconds_left == 0


def test_after_the_pause_one_failure_opens_it_again_and_one_success_closes_it(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 3)
    clock.now += 10
    fail(breaker, 1)
    assert breaker.seconds_left == 10
    clock.now += 10
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.seconds_left == 0


def test_after_the_pause_one_call_a_second_is_admitted_until_one_succeeds(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 3)
    clock.now += 10
    for _ in range(3):
        assert breaker.seconds_left == 0
        breaker.called()
        assert breaker.seconds_left == 1
        clock.now += 1
    breaker.succeeded()
    breaker.called()
    assert breaker.seconds_left == 0


def test_a_failure_of_the_first_call_after_the_pause_begins_the_whole_pause_again(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 3)
    clock.now += 10
    breaker.called()
    clock.now += 0.5
    fail(breaker, 2)
    assert breaker.seconds_left == 10
    # The second failure was that of another call under way.
    clock.now += 4
    fail(breaker, 1)
    assert breaker.seconds_left == 6


def test_calls_are_not_spaced_before_the_breaker_has_opened(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.called()
    assert breaker.seconds_left == 0
