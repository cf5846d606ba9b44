"""What a request costs in things that can be counted: Python calls, and commands at Redis. Seconds live in benchmarks/.

The bounds are what was counted when they were written, and a tenth more: a new library may shift them a little, a defect
shifts them a lot. A bound that was lowered by an improvement is a good change of this file.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from types import FrameType
from typing import Any

import pytest

from service.domain.numbers import E164
from simulator.exchange import POOL
from tests.integration.conftest import Running
from tests.integration.test_round_trips import POLICY

CALLS = {"create": 1994, "read": 773, "callback": 1143, "consume": 1163}
COMMANDS = {"create": 44, "read": 1, "callback": 17, "consume": 9}
SLACK = 1.1
FRESH = map(str, count(79991230001))
"""Each a number that nobody has seen: those that were parsed are remembered."""


class Effort:
    """Counted calls of Python functions in this thread, and commands that the server ran, scripts' own among them."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.calls: dict[str, int] = {}
        self.commands: dict[str, int] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        counted = [0]

        def profile(_frame: FrameType, event: str, _argument: Any) -> None:
            counted[0] += event == "call"

        with self._running.redis.client() as client:
            before = commands(client)
            sys.setprofile(profile)
            try:
                yield
            finally:
                sys.setprofile(None)
            # The count itself is a command too.
            self.commands[name] = commands(client) - before - 1
        # The fewest: now and then another thread has the connection, and a new one is made.
        self.calls[name] = min(counted[0], self.calls.get(name, counted[0]))


def commands(client: Any) -> int:
    stats = client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_ping")


@pytest.fixture
def effort(starting: Callable[..., Running]) -> Effort:
    running = starting(POLICY)
    spent = Effort(running)
    for digits in POOL:
        # Which of them is shown is a throw of dice; a process knows all of them soon.
        shown = E164.parse(f"+{digits}")
        assert all((shown.region, shown.number_type, shown.display))
    # The first of everything loads, compiles and connects.
    for number in islice(FRESH, 4):
        asked = {"phone_number": f"+{number}", "purpose": "login"}
        with spent.of("create"):
            made = running.post("/v1/verifications", asked).get_json()
        url = f"/v1/verifications/{made['id']}"
        with spent.of("read"):
            assert running.get(url).status_code == 200
        with spent.of("callback"):
            assert running.call(number).status_code == 200
        with spent.of("consume"):
            assert running.post(f"{url}/consume", {"purpose": "login"}).status_code == 200
    return spent


@pytest.mark.parametrize("name", CALLS)
def test_a_request_makes_so_many_calls(effort: Effort, name: str) -> None:
    assert effort.calls[name] <= CALLS[name] * SLACK


@pytest.mark.parametrize("name", COMMANDS)
def test_a_request_makes_so_many_commands_at_redis(effort: Effort, name: str) -> None:
    assert effort.commands[name] == COMMANDS[name]
