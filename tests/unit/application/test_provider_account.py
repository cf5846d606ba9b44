"""Operators' requests to the provider's account are audited first and stay below the provider's limits; the balance."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.making import POLICY
from tests.worlds import World, memory_world
from waitcall.application.ports import Term
from waitcall.application.provider_account import (
    AccountManagement,
    BalanceMonitor,
    DedicatedNumber,
    Download,
    NumberState,
)
from waitcall.domain.errors import (
    NotFound,
    ProviderError,
    ProviderFailure,
    ProviderUnavailable,
    RateLimited,
)
from waitcall.domain.numbers import E164

OURS, LOST, FREE = E164("+79585550001"), E164("+79585550002"), E164("+79585550003")


class FakeCabinet:
    """Fake account that offers ``LOST`` and ``FREE`` and keeps the requests that it got."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.says_what_it_did = True
        self.failure: ProviderFailure | None = None

    def free_numbers(self) -> list[DedicatedNumber]:
        if self.failure is not None:
            raise self.failure
        return [
            DedicatedNumber(number, NumberState.FREE, "sim", Decimal(300), Decimal("12.50"), "a SIM")
            for number in (LOST, FREE)
        ]

    def rent(self, number: E164, *, prolong: bool) -> Decimal:
        self.asked.append(("rent", number, prolong))
        return Decimal("12.50")

    def set_prolong(self, number: E164, *, prolong: bool) -> bool:
        self.asked.append(("prolong", number, prolong))
        return self.says_what_it_did

    def tasks(self, after_id: int, count: int) -> list[Any]:
        self.asked.append(("tasks", after_id, count))
        return []

    def file(self, task: int | str, offset: int) -> Download:
        self.asked.append(("file", task, offset))
        return Download(iter([b"id"]), 2)


class Desk:
    def __init__(self) -> None:
        self.world: World = memory_world()
        self.provider_account, self.clock = FakeCabinet(), FakeClock()
        numbers = tuple(each.value for each in (OURS, LOST))
        self.desk = AccountManagement(
            provider_account=self.provider_account,
            audit=self.world.audit,
            limits=self.world.limits,
            clock=self.clock,
            policy=replace(POLICY, text_in_numbers=tuple(E164(each) for each in numbers)),
        )

    def audited(self) -> list[tuple[str, str, str | None, dict[str, str] | None]]:
        return [
            (each.event, each.actor, each.phone_number, each.details) for each in self.world.audit.entries
        ]


@pytest.fixture
def scene() -> Desk:
    return Desk()


def test_our_numbers_come_first_with_their_state_then_what_is_free(scene: Desk) -> None:
    listed = scene.desk.numbers("ann")
    assert [(each.number, each.state) for each in listed] == [
        (OURS, NumberState.RENTED),
        (LOST, NumberState.LOST),
        (FREE, NumberState.FREE),
    ]
    assert listed[1].cost == Decimal(300)
    assert scene.audited() == [("numbers_list", "operator:ann", None, None)]


def test_an_offer_is_of_the_number_that_was_asked_for(scene: Desk) -> None:
    assert scene.desk.offer(FREE).number == FREE
    with pytest.raises(NotFound):
        scene.desk.offer(OURS)


@pytest.mark.parametrize("prolong", [True, False])
def test_renting_is_audited_with_its_cost_and_asked_once(scene: Desk, prolong: bool) -> None:
    offered = scene.desk.offer(FREE)
    assert scene.desk.rent("ann", offered, prolong=prolong, reason="more texts") == Decimal("12.50")
    assert scene.provider_account.asked == [("rent", FREE, prolong)]
    details = {"reason": "more texts", "cost": "12.50", "prolong": "true" if prolong else "false"}
    assert scene.audited() == [("numbers_rent", "operator:ann", FREE.value, details)]


@pytest.mark.parametrize(("prolong", "event"), [(True, "numbers_prolong"), (False, "numbers_stop")])
def test_prolonging_and_stopping_are_different_acts(scene: Desk, prolong: bool, event: str) -> None:
    scene.desk.set_prolong("ann", OURS, prolong=prolong, reason="because")
    assert scene.provider_account.asked == [("prolong", OURS, prolong)]
    assert scene.audited() == [(event, "operator:ann", OURS.value, {"reason": "because"})]


def test_a_confirmation_that_says_nothing_is_checked_by_the_list(scene: Desk) -> None:
    account = scene.provider_account
    account.failure = ProviderUnavailable()
    assert scene.desk.set_prolong("ann", OURS, prolong=False, reason="because")

    account.says_what_it_did = False
    assert not scene.desk.set_prolong("ann", OURS, prolong=False, reason="because")
    account.failure = None
    assert scene.desk.set_prolong("ann", OURS, prolong=True, reason="because")
    # The list may be read twice a minute. Then the answer is uncertain, and the change is not refused.
    assert not scene.desk.set_prolong("ann", OURS, prolong=True, reason="because")
    scene.clock.advance(60)
    with pytest.raises(ProviderError, match="not ours"):
        scene.desk.set_prolong("ann", FREE, prolong=False, reason="because")


def test_tasks_are_listed_from_the_first_and_a_file_is_read_from_where_it_stopped(scene: Desk) -> None:
    scene.desk.tasks("ann")
    scene.desk.tasks("ann", 7, 5)
    assert scene.desk.download("ann", 9).size == 2
    scene.desk.download("ann", 9, 4096)
    assert scene.provider_account.asked == [
        ("tasks", 0, 100),
        ("tasks", 7, 5),
        ("file", 9, 0),
        ("file", 9, 4096),
    ]
    events = [(event, details) for event, _, _, details in scene.audited()]
    assert events == [("reports_list", None)] * 2 + [("reports_download", {"task": "9"})] * 2


def test_identical_requests_stay_below_the_providers_limit(scene: Desk) -> None:
    scene.desk.offer(FREE)
    scene.clock.advance(20)
    scene.desk.offer(FREE)
    with pytest.raises(RateLimited) as refused:
        scene.desk.offer(FREE)
    assert refused.value.retry_after == 40
    for _ in range(3):
        scene.desk.tasks("ann")
    with pytest.raises(RateLimited):
        scene.desk.tasks("ann")
    scene.desk.tasks("ann", 1)
    for _ in range(2):
        scene.desk.set_prolong("ann", OURS, prolong=True, reason="because")
    with pytest.raises(RateLimited):
        scene.desk.set_prolong("ann", OURS, prolong=True, reason="because")
    scene.desk.set_prolong("ann", OURS, prolong=False, reason="because")
    scene.clock.advance(60)
    assert scene.desk.offer(FREE)


@pytest.mark.parametrize("act", ["rent", "download"])
def test_renting_and_downloading_have_a_ceiling_too(scene: Desk, act: str) -> None:
    offered = scene.desk.offer(FREE)
    most = {"rent": 2, "download": 3}[act]

    def ask() -> None:
        if act == "rent":
            scene.desk.rent("ann", offered, prolong=True, reason="because")
        else:
            scene.desk.download("ann", 1)

    for _ in range(most):
        ask()
    with pytest.raises(RateLimited):
        ask()
    assert len(scene.provider_account.asked) == most
    # The refused request is audited too, so that the stream says who tried.
    assert len(scene.audited()) == most + 1


def test_a_report_is_compared_with_the_audit_entries_of_its_events_and_time(scene: Desk) -> None:
    begun = scene.clock()
    scene.desk.set_prolong("ann", OURS, prolong=True, reason="because")
    scene.desk.tasks("ann")
    scene.clock.advance(100)
    scene.desk.tasks("ann")
    kept: Iterator[dict[str, str]] = scene.desk.audited(
        "ben", begun, begun + timedelta(seconds=50), ["reports_list"]
    )
    assert [(each["event"], each["actor"]) for each in kept] == [("reports_list", "operator:ann")]
    assert scene.audited()[-1][:2] == ("reports_reconcile", "operator:ben")


def test_the_balance_is_told_and_returned() -> None:
    told: list[Decimal] = []

    class Account:
        def balance(self) -> Decimal:
            return Decimal("7.50")

    assert BalanceMonitor(Account(), told.append).run(Term(1, "x")) == Decimal("7.50")
    assert told == [Decimal("7.50")]
