"""Bound the cost of a request in Python calls and in commands at Redis. Seconds are measured in benchmarks/.

The bounds for calls are the counts at the time of writing plus a tenth, because a new library may shift them a little.
A defect shifts them a lot. After an improvement, lower the bound.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from types import FrameType
from typing import Any

import pytest

from simulator.exchange import POOL
from tests.integration.conftest import Running
from tests.integration.test_round_trips import POLICY
from tests.steps import OLDEST
from waitcall.domain.numbers import E164

CALLS = {"create": 1994, "read": 773, "callback": 1143, "consume": 1163}
COMMANDS = {"create": 44, "read": 1, "callback": 17, "consume": 9}
SLACK = 1.1
FRESH = map(str, count(79991230001))
"""Phone numbers that no request has used yet, because the parser caches those that it has seen."""


class Effort:
    """Counts of Python calls in this thread and of commands that Redis ran, including those in scripts."""

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
            # Reading the count is a command as well.
            self.commands[name] = commands(client) - before - 1
        # The lowest count is kept, because sometimes another thread has the connection and a new one is made.
        self.calls[name] = min(counted[0], self.calls.get(name, counted[0]))


def commands(client: Any) -> int:
    stats = client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_ping")


@pytest.fixture
def effort(starting: Callable[..., Running]) -> Effort:
    running = starting(POLICY)
    spent = Effort(running)
    for digits in POOL:
        # A random one of these numbers is shown, so all of them are parsed and cached beforehand.
        shown = E164.parse(f"+{digits}")
        assert all((shown.region, shown.number_type, shown.display))
    # The first request of each kind loads modules, compiles patterns and connects.
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


@pytest.mark.skipif(
    sys.version_info[:2] != OLDEST, reason="the bounds are of Python 3.11, whose library calls less"
)
@pytest.mark.parametrize("name", CALLS)
def test_a_request_makes_no_more_python_calls_than_its_bound(effort: Effort, name: str) -> None:
    assert effort.calls[name] <= CALLS[name] * SLACK


@pytest.mark.parametrize("name", COMMANDS)
def test_a_request_makes_exactly_the_expected_commands_at_redis(effort: Effort, name: str) -> None:
    assert effort.commands[name] == COMMANDS[name]
