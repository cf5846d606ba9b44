"""Showing and finding a verification, and a call that an operator reports."""

import pytest

from tests.fakes.clock import FakeClock
from tests.making import NUMBER, OTHER_NUMBER, opened, reserve
from tests.worlds import World
from waitcall.application.look_up import Lookup
from waitcall.domain.errors import NotFound


def lookup(world: World, clock: FakeClock) -> Lookup:
    reserve(world.store, opened("ver_1", now=clock()), None, clock())
    return Lookup(world.store, world.audit, clock)


def test_a_verification_is_shown_as_it_stands_now_by_its_id_and_by_its_number(
    world: World, clock: FakeClock
) -> None:
    shown = lookup(world, clock)
    assert shown.show("ann", "ver_1").id == "ver_1"
    assert shown.find("ann", NUMBER.value).id == "ver_1"
    clock.advance(3600)
    assert not shown.show("ann", "ver_1").is_live
    assert not shown.find("ann", NUMBER.value).is_live
    looks = [
        (each.event, each.actor, each.phone_number, each.verification_id) for each in world.audit.entries
    ]
    assert looks[:2] == [
        ("show", "operator:ann", None, "ver_1"),
        ("find", "operator:ann", NUMBER.value, None),
    ]


def test_a_missing_verification_is_not_found_and_the_look_is_audited(world: World, clock: FakeClock) -> None:
    shown = lookup(world, clock)
    with pytest.raises(NotFound):
        shown.show("ann", "ver_2")
    with pytest.raises(NotFound):
        shown.find("ann", OTHER_NUMBER.value)
    assert [each.event for each in world.audit.entries] == ["show", "find"]


def test_a_call_reported_by_hand_is_audited_with_its_reason(world: World, clock: FakeClock) -> None:
    lookup(world, clock).replayed("ann", NUMBER.value, "lost")
    (entry,) = world.audit.entries
    assert (entry.event, entry.actor, entry.phone_number) == ("replay_callback", "operator:ann", NUMBER.value)
    assert entry.details == {"reason": "lost"}
