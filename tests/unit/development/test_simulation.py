"""The simulation of faults: it agrees with the measured process, its bounds hold, and they fail without what keeps them."""

from dataclasses import replace
from math import inf

import pytest

from development.sizing import scenarios
from development.sizing.model import LIMITS, Shape, World
from development.sizing.page import load
from development.sizing.scenarios import SCENARIOS, Scenario
from development.sizing.timeouts import timeouts
from waitcall.adapters.redis.keys import LISTS

COSTS, FAULTS = load("costs")["found"], load("faults")["found"]
SECONDS = 30
"""Length of the outage of the provider in these tests."""


def small(**changes: object) -> Shape:
    """A deployment for 10 verifications a second on three servers, of which the whole is simulated."""
    return replace(scenarios.shape_of(COSTS, FAULTS, 10, servers=3), parts=1, **changes)


def busy(share: float) -> dict[str, float]:
    """Return costs at which the lists use a share of their server: a create, a callback and a consume read them."""
    return {"any": 0.0001, LISTS: share / (3 * 10)}


def silent(shape: Shape) -> World:
    return Scenario("provider does not answer", SECONDS, inf).run(shape)


def test_the_breaker_sends_and_refuses_as_many_orders_as_in_the_measured_run() -> None:
    simulated = scenarios.provider_hangs(COSTS, FAULTS)
    for name in ("orders_sent", "orders_refused"):
        assert simulated[name] == pytest.approx(FAULTS["provider_hangs"][name], rel=0.1)


def test_a_hanging_master_refuses_the_reads_that_it_refused_in_the_measured_run() -> None:
    simulated = scenarios.master_hangs(COSTS, FAULTS)
    for group, answers in simulated.items():
        assert answers == FAULTS["master_hangs"][group]["answers"]


@pytest.mark.parametrize("kind", ["one_server", "cluster"])
def test_a_second_of_cpu_serves_as_many_journeys_as_in_the_measured_run(kind: str) -> None:
    measured = 1000 / COSTS[kind]["cpu_ms_at_full_load"]["api"]
    assert scenarios.capacity(COSTS, kind, walkers=16, journeys=200) == pytest.approx(measured, rel=0.3)


def test_a_create_of_the_model_has_the_limits_that_were_measured() -> None:
    measured = [kind for kind in COSTS["cluster"]["keys"] if kind.startswith("limit ")]
    assert len(LIMITS) == len(measured)


def test_the_breaker_bounds_the_creates_that_wait_for_a_silent_provider() -> None:
    with_breaker, without = (
        scenarios.found(SCENARIOS["silent"], silent(shape)) for shape in (small(), small(failures=10**9))
    )
    bound = 0.8 * without["creates_under_way"]
    assert with_breaker["creates_under_way"] < bound
    assert with_breaker["orders"]["sent"] < 0.6 * without["orders"]["sent"]
    assert with_breaker["refused_within_a_second"] > 0.3
    assert without["refused_within_a_second"] == 0


def test_orders_under_way_never_exceed_their_setting() -> None:
    world = silent(small(max_orders=5))
    assert max(each.most_orders for each in world.api) == 5
    assert world.counts.orders["too_many"] > 0


def test_verifications_complete_as_before_within_seconds_of_an_outage_of_redis() -> None:
    scenario = SCENARIOS["all"]
    found = scenarios.found(scenario, scenario.run(small(redis=busy(0.45))))
    assert found["done_meanwhile"] < 0.5 * found["done_before"]
    assert found["seconds_to_recover"] is not None
    assert found["seconds_to_recover"] <= 10
    for name, most in scenarios.bounds().items():
        assert found[name] <= most, name


def test_a_server_of_a_key_of_all_that_is_three_quarters_busy_never_recovers_from_an_outage() -> None:
    scenario = SCENARIOS["all"]
    found = scenarios.found(scenario, scenario.run(small(redis=busy(0.75))))
    assert found["seconds_to_recover"] is None


def test_the_same_seed_gives_the_same_run() -> None:
    scenario = SCENARIOS["one"]
    first, second = (scenario.run(small()).counts for _ in range(2))
    assert (first.done, first.orders, first.creates) == (second.done, second.orders, second.creates)


def test_whoever_waits_outside_waits_longer_than_what_it_waits_for() -> None:
    seconds = [each for _, each in timeouts()]
    assert seconds == sorted(seconds, reverse=True)
    assert len(set(seconds)) == len(seconds)
