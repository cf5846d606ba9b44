"""End of a delivery, and dead letters that are sent again."""

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.making import POLICY
from tests.unit.application.conftest import delivery
from tests.worlds import World
from waitcall.application.deliver_webhooks import (
    MOST_ATTEMPTS,
    DeadLetters,
    DeliverWebhooks,
    DeliveryOutcome,
    Taken,
)
from waitcall.application.effects import Delivery
from waitcall.domain.policy import Endpoint


class Outbox:
    def __init__(self) -> None:
        self.ended: list[str] = []

    def wake(self, _: Any) -> int:
        return 0

    def take(self, *_: Any) -> list[Taken]:
        return []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.ended.append(name)


class Sends:
    def __init__(self, outcome: DeliveryOutcome) -> None:
        self.outcome = outcome

    def send(self, *_: Any) -> DeliveryOutcome:
        return self.outcome


class Told:
    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def delivered(self, _: Delivery, outcome: DeliveryOutcome, *, dead: bool) -> None:
        self.told.append((outcome.value, dead))


@pytest.mark.parametrize(
    ("outcome", "attempt", "ended", "dead"),
    [
        (DeliveryOutcome.ACCEPTED, MOST_ATTEMPTS - 1, "arrived", False),
        (DeliveryOutcome.REFUSED, MOST_ATTEMPTS - 1, "bury", True),
        (DeliveryOutcome.REFUSED, MOST_ATTEMPTS - 2, "defer", False),
        (DeliveryOutcome.GONE, 0, "bury", True),
    ],
)
def test_a_delivery_is_dead_after_its_last_attempt_unless_it_arrived(
    clock: FakeClock, outcome: DeliveryOutcome, attempt: int, ended: str, dead: bool
) -> None:
    outbox, delivery_metrics = Outbox(), Told()
    endpoint = Endpoint("web/main", "https://web.example.org/hook", frozenset())
    policy = replace(POLICY, clients={"web": replace(POLICY.clients["web"], webhooks=(endpoint,))})
    push = DeliverWebhooks(
        outbox=outbox,
        sender=Sends(outcome),
        delivery_metrics=delivery_metrics,
        clock=clock,
        policy=policy,
        consumer="one",
    )
    push.deliver(Taken(delivery("evt_1", "web/main", attempt), ("1", "1")))
    push.close()
    assert (outbox.ended, delivery_metrics.told) == ([ended], [(outcome.value, dead)])
    with pytest.raises(RuntimeError):
        push._threads.submit(print)


class Letters:
    def __init__(self) -> None:
        self.replayed: list[tuple[str, str]] = []

    def dead(self) -> Any:
        return iter([delivery("evt_1", "web/main"), delivery("evt_2", "web/other")])

    def replay(self, event_id: str, endpoint: str) -> bool:
        self.replayed.append((event_id, endpoint))
        return True


@pytest.mark.parametrize(
    ("asked", "details"),
    [
        ({}, {"endpoint": "every"}),
        ({"endpoint": "web/main"}, {"endpoint": "web/main"}),
        ({"event_id": "evt_2"}, {"endpoint": "every", "event_id": "evt_2"}),
    ],
)
def test_a_replay_is_audited_with_what_it_replays(
    world: World, clock: FakeClock, asked: dict[str, str], details: dict[str, str]
) -> None:
    DeadLetters(Letters(), world.audit, clock).replay("ann", "why", **asked)
    assert world.audit.entries[-1].details == {"reason": "why"} | details
