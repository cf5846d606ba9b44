"""World in memory, and entries of its lists."""

import pytest

from tests.fakes.clock import FakeClock
from tests.making import NOW, seconds
from tests.unit.application.contended import Stage
from tests.worlds import World, memory_world
from waitcall.application.deliver_webhooks import MOST_ATTEMPTS
from waitcall.application.effects import Delivery
from waitcall.domain.lists import ListAction, ListEntry, ListKind

ADDRESS = "192.0.2.1"


@pytest.fixture
def world() -> World:
    return memory_world()


def entry(action: ListAction, kind: ListKind, subject: str) -> ListEntry:
    return ListEntry(action, kind, subject, "why", "ann", NOW, NOW + seconds(60))


def delivery(event_id: str, endpoint: str, attempt: int = MOST_ATTEMPTS) -> Delivery:
    return Delivery(event_id, endpoint, "{}", attempt)


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    return Stage(clock)
