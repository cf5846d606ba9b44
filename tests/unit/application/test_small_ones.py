"""Small use cases: showing and finding a verification, readiness, the balance, and a look at the inbox."""

from dataclasses import replace
from decimal import Decimal

import pytest
from waitcall.application.balance_monitor import BalanceMonitor
from waitcall.application.inspect_inbox import look
from waitcall.application.leadership import Term
from waitcall.application.look_up import Lookup
from waitcall.application.readiness import Readiness
from waitcall.application.reconcile_inbox import InboxRecord
from waitcall.domain.errors import NotFound, StoreUnavailable
from waitcall.domain.numbers import E164, mask

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, FakeSender
from tests.making import NUMBER, OTHER_NUMBER, POLICY, opened, opening_of, reserve
from tests.worlds import World, memory_world

DIALLED, TEXTED, ABROAD = E164("+79585551234"), E164("+79585550001"), E164("+77015550001")


@pytest.fixture
def world() -> World:
    return memory_world()


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


def test_readiness_asks_the_store_and_knows_when_the_process_leaves(world: World) -> None:
    readiness = Readiness(world.probe)
    readiness.check()
    assert not readiness.is_leaving
    readiness.leave()
    assert readiness.is_leaving

    def ping() -> None:
        raise StoreUnavailable

    world.probe.ping = ping
    with pytest.raises(StoreUnavailable):
        readiness.check()


def test_the_balance_is_told_and_returned() -> None:
    told: list[Decimal] = []

    class Account:
        def balance(self) -> Decimal:
            return Decimal("7.50")

    assert BalanceMonitor(Account(), told.append).run(Term(1, "x")) == Decimal("7.50")
    assert told == [Decimal("7.50")]


def test_a_look_at_the_inbox_masks_the_numbers_of_what_looks_like_a_call() -> None:
    records = [
        InboxRecord(1, None, None, None, message="no caller"),
        InboxRecord(2, NUMBER.value, DIALLED.value, None, message="a call"),
        InboxRecord(3, NUMBER.value, TEXTED.value, None, message="a text"),
        InboxRecord(4, NUMBER.value, ABROAD.value, None, message="abroad"),
        InboxRecord(5, NUMBER.value, None, None, message="nothing dialled"),
        InboxRecord(6, NUMBER.value, "a word", None, message="no number"),
    ]
    found = look(
        records,
        lambda number: number.value.startswith("+7958"),
        [TEXTED],
        lambda caller, text: (caller, text) == (NUMBER.value, "a text"),
    )
    assert {each.caller for each in found} == {mask(NUMBER.value)}
    assert [each.dialled for each in found] == [
        mask(DIALLED.value),
        mask(TEXTED.value),
        mask(ABROAD.value),
        "",
        mask("a word"),
    ]
    assert [each.may_be_shown for each in found] == [True, False, False, False, False]
    assert [each.is_text for each in found] == [False, True, False, False, False]


def test_a_text_goes_to_another_number_than_the_persons_where_there_is_one() -> None:
    def shown(*numbers: E164) -> set[E164]:
        opening = opening_of(FakeProvider(), FakeSender(), replace(POLICY, text_in_numbers=numbers))
        return {opening.ask_for_text(opened("ver_1")).number for _ in range(20)}

    assert shown(NUMBER, TEXTED) == {TEXTED}
    assert shown(NUMBER) == {NUMBER}
