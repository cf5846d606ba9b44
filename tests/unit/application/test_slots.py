"""Places that are bounded in number."""

from service.application.slots import Slots
from tests.making import together


def test_no_more_are_taken_than_there_are() -> None:
    slots = Slots(7)
    assert together(50, lambda _: slots.take()).count(True) == 7
    slots.give_back()
    assert together(50, lambda _: slots.take()).count(True) == 1


def test_whoever_waits_has_the_place_that_is_given_back() -> None:
    slots = Slots(1)
    taken = together(20, lambda _: slots.take(30) and slots.give_back() is None)
    assert taken == [True] * 20


def test_nobody_waits_for_longer_than_told() -> None:
    slots = Slots(0)
    assert not slots.take(0.01)
    assert not slots.take()
