"""A limited number of slots, which threads take and give back."""

from tests.making import together
from waitcall.application.slots import Slots


def test_no_more_slots_are_taken_than_there_are() -> None:
    slots = Slots(7)
    assert together(50, lambda _: slots.take()).count(True) == 7
    slots.give_back()
    assert together(50, lambda _: slots.take()).count(True) == 1


def test_a_waiting_thread_gets_the_slot_that_is_given_back() -> None:
    slots = Slots(1)
    taken = together(20, lambda _: slots.take(30) and slots.give_back() is None)
    assert taken == [True] * 20


def test_a_wait_ends_after_the_given_seconds() -> None:
    slots = Slots(0)
    assert not slots.take(0.01)
    assert not slots.take()
