"""Store whose changes lose races, and use cases over it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.fakes.clock import FakeClock
from tests.fakes.memory import MemoryStore
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import (
    NUMBER,
    SEALS,
    admission,
    messages_of,
    opening_of,
    operating,
    records_of,
    use_cases,
)
from tests.worlds import memory_world
from waitcall.application.create import CreateCommand
from waitcall.application.fallback import ChannelSteps
from waitcall.application.ports import Claim, Reservation, Stored
from waitcall.application.record_order import PollOrders, RecordOrderReport
from waitcall.domain.channel import Channel, PlacedOrder, Provider, ProviderOrder
from waitcall.domain.lists import ListAction, ListKind
from waitcall.domain.matching import InboundText, OrderReport, OrderStatus, Outcome
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Client, Policy, Purpose
from waitcall.domain.verification import Verification

TOLL_FREE = E164("+78005551101")
ORDER = ProviderOrder("smsru", "201737-542")
PURPOSES = {
    "call": Purpose("call", channels=(Channel.CALL, Channel.TEXT_IN, Channel.CODE)),
    "text": Purpose("text", channels=(Channel.TEXT_IN, Channel.CALL)),
    "code": Purpose("code", channels=(Channel.CODE, Channel.CALL)),
}
POLICY = Policy(
    dial_regions=frozenset({"RU"}),
    purposes=PURPOSES,
    clients={"web": Client("web", frozenset(PURPOSES))},
    text_in_numbers=(E164("+79585550000"),),
    code_texts={"en": "{code} is your code."},
)


class Contended(MemoryStore):
    """Store in which the method named by ``losing`` fails ``losses`` times, as if another process had been first.

    ``asked`` keeps the id of each reservation.
    """

    losses = 0
    losing = ""
    vanishing = False
    during: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.asked: list[str] = []

    def lose(self, losing: str, losses: int, *, vanishing: bool = False) -> None:
        self.losing, self.losses, self.vanishing = losing, losses, vanishing

    def _is_lost(self, kind: str) -> bool:
        lost = kind == self.losing and self.losses > 0
        self.losses -= lost
        return lost

    def get(self, verification_id: str) -> Stored | None:
        return None if self.vanishing else super().get(verification_id)

    def reserve(self, verification: Verification, *rest: Any) -> Reservation | None:
        self.asked.append(verification.id)
        return None if self._is_lost("reserve") else super().reserve(verification, *rest)

    def commit(self, *given: Any) -> Stored | None:
        return None if self._is_lost("commit") else super().commit(*given)

    def claim(self, *given: Any) -> Claim:
        return Claim.CONFLICT if self._is_lost("claim") else super().claim(*given)

    def confirm(self, stored: Stored, now: datetime) -> bool:
        return not self._is_lost("confirm") and super().confirm(stored, now)


class Stage:
    def __init__(self, clock: FakeClock) -> None:
        self.world = world = memory_world(Contended)
        self.store = world.store
        self.clock, self.observer = clock, RecordingObserver()
        self.provider, self.sender = FakeProvider("smsru"), FakeSender()
        self.verifications, self.calls = use_cases(
            self.world, self.provider, self.observer, clock, POLICY, self.sender
        )
        opening = opening_of(self.provider, self.sender, POLICY, world.orders)
        self.verifications.creating._opening = opening
        admitting = admission(self.world, self.observer, POLICY)
        records = records_of(self.world, self.observer, POLICY)
        self.channels = ChannelSteps(
            records=records,
            admission=admitting,
            opening=opening,
            seals=SEALS,
            clock=clock,
            policy=POLICY,
        )
        self.messages = messages_of(self.world, self.observer, clock)
        self.reports = RecordOrderReport(records, world.orders, admitting, clock)
        self.inquiry = Inquiry(clock)
        self.poll = PollOrders(self.inquiry, world.orders, self.store, self.reports, clock)
        self.operator = operating(self.world, self.observer, clock, POLICY)

    def start(self, purpose: str = "call") -> Verification:
        return self.verifications.start("web", CreateCommand(NUMBER.value, purpose, "flow")).verification

    def get(self, record: Verification) -> Verification:
        return self.verifications.get("web", record.id)

    def text(self, record: Verification) -> Outcome:
        asked = record.text_in
        assert asked is not None
        return self.messages.record_text(InboundText(NUMBER.value, asked.number.value, asked.text))

    def reports_to(self, at: Any = None) -> Outcome:
        return self.reports.record(OrderReport(ORDER, OrderStatus.CALLED, at or self.clock()))

    def block(self) -> None:
        self.operator.put(
            "ann",
            action=ListAction.BLOCK,
            kind=ListKind.NUMBER,
            subject=NUMBER.value,
            reason="x",
            expires_in=60,
        )

    def ordering(self) -> Verification:
        """Start a verification whose provider reports on its order."""
        self.provider.placed = PlacedOrder(TOLL_FREE, ORDER, 300, Provider.SMSRU)
        return self.start()


class Inquiry:
    """Provider that takes ``seconds`` to answer each query."""

    name = "smsru"

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.seconds = 0
        self.asked: list[ProviderOrder] = []
        self.answer = OrderStatus.WAITING

    def status(self, order: ProviderOrder) -> OrderStatus:
        self.asked.append(order)
        self._clock.advance(self.seconds)
        return self.answer


def texted(stage: Stage) -> Verification:
    made = stage.start("text")
    stage.text(made)
    return made
