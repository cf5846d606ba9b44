"""Deliveries that were given up and are sent again."""

from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.unit.application.conftest import delivery
from tests.worlds import World
from waitcall.application.dead_letters import DeadLetters


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
