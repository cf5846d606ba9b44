"""Faults to simulate, what to read from a run, and runs at the scale of one process to compare with a real one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import mean
from typing import Any

from development.sizing.model import (
    LIMITS,
    Person,
    Process,
    Server,
    Shape,
    Steps,
    World,
    setting,
)
from development.sizing.plan import HALF
from waitcall.adapters.redis.keys import LISTS

NORMAL_SECONDS = 0.05
"""Time of an order when nothing is wrong."""
SLOW_SECONDS = 5.0
FAULT_AT, FAULT_SECONDS, OUTAGE_SECONDS, AFTER_SECONDS = 35, 60, 10, 40
BEFORE = (25, 35)
"""Seconds whose rate of completed verifications is the one before the fault."""
RECOVERED, WINDOW_SECONDS = 0.85, 10
"""The service has recovered when every later window of so many seconds has this share of the rate before. Chance alone moves a window by
a tenth."""
SIMULATED_PER_SECOND = 50
"""Verifications a second in the simulated part of a deployment."""


@dataclass(frozen=True)
class Scenario:
    """A fault: what an order takes meanwhile, and the servers that have no master."""

    told: str
    seconds: int
    order_seconds: float = NORMAL_SECONDS
    without_master: Callable[[World], Sequence[Server]] = lambda _: ()

    def run(self, shape: Shape, seed: int = 1) -> World:
        """Simulate the fault."""
        ends = FAULT_AT + self.seconds
        world = World(
            shape, lambda now: self.order_seconds if FAULT_AT <= now < ends else NORMAL_SECONDS, seed
        )
        world.without_master(self.without_master(world), FAULT_AT, self.seconds)
        world.run(ends + AFTER_SECONDS)
        return world


SCENARIOS = {
    "slow": Scenario("provider takes 5 s", FAULT_SECONDS, SLOW_SECONDS),
    "silent": Scenario("provider does not answer", FAULT_SECONDS, inf),
    "one": Scenario(
        "one Redis server has no master", OUTAGE_SECONDS, without_master=lambda world: [world.other_server]
    ),
    "lists": Scenario(
        "the Redis server with the lists has no master",
        OUTAGE_SECONDS,
        without_master=lambda world: [world.server_of_lists],
    ),
    "all": Scenario(
        "no Redis server has a master", OUTAGE_SECONDS, without_master=lambda world: world.servers
    ),
}


def shape_of(costs: Mapping[str, Any], faults: Mapping[str, Any], per_second: float, servers: int) -> Shape:
    """Return the deployment at half load, from what was measured on a cluster."""
    measured = costs["cluster"]
    cpu = {name: each / 1000 for name, each in measured["cpu_ms_of_requests"].items()}
    api = sum(each for name, each in cpu.items() if name != "callback")
    redis = _redis(costs)
    hang = faults["master_hangs"]["of_its_numbers"]["median_seconds"]["503"]
    shape = Shape(
        per_second,
        api=round(per_second * api / HALF),
        public=round(per_second * cpu["callback"] / HALF),
        servers=servers,
        cpu=cpu,
        redis=redis,
        hang_seconds=hang,
    )
    return replace(shape, parts=max(round(per_second / SIMULATED_PER_SECOND), 1))


def _redis(costs: Mapping[str, Any]) -> dict[str, float]:
    """Return a busy server's seconds for a command at each place. Scripts on records cost about as much as a limit."""
    busy = {name: each / 1e6 for name, each in costs["busy_us"].items()}
    named = {
        LISTS: busy["lists"],
        "conversion": busy["conversion_count"],
        "due": busy["due"],
        "audit": busy["audit"],
    }
    return {"any": busy["limit"], **named}


def found(scenario: Scenario, world: World) -> dict[str, Any]:
    """Return what a run shows, for the whole deployment."""
    counts, parts, ends = world.counts, world.shape.parts, FAULT_AT + scenario.seconds
    before = _rate(counts.done, *BEFORE)
    done = [counts.done[second] for second in range(ends + AFTER_SECONDS)]
    meanwhile = [each for each in counts.creates if FAULT_AT <= each[0] < ends]
    refused = sorted(seconds for _, result, seconds in meanwhile if result != "201")
    waited = [seconds for _, result, seconds in meanwhile if result == "201"]
    return {
        "done_before": before * parts,
        "done_meanwhile": _rate(counts.done, FAULT_AT, ends) * parts,
        "done_after": _rate(counts.done, ends + AFTER_SECONDS - 20, ends + AFTER_SECONDS) * parts,
        "seconds_to_recover": recovery(done, before, ends),
        "done": [each * parts for each in done],
        "creates": len(meanwhile) * parts,
        "refused": len(refused) * parts,
        "refused_within_a_second": mean(each <= 1 for each in refused) if refused else 1.0,
        "refused_median_seconds": refused[len(refused) // 2] if refused else 0.0,
        "refused_longest_seconds": refused[-1] if refused else 0.0,
        "created_longest_seconds": max(waited, default=0.0),
        "creates_under_way": sum(each[2] for each in meanwhile) / scenario.seconds * parts,
        "given_up": sum(counts.given_up.values()) * parts,
        "orders": {name: each * parts for name, each in counts.orders.items()},
        "most_orders_of_a_process": max(each.most_orders for each in world.api),
        "most_requests_of_a_process": max(each.most_inside for each in (*world.api, *world.public)),
        "most_waiting_for_a_client": counts.most_turns,
        "longest_cpu_queue_seconds": counts.longest_cpu_queue,
        "answers_lost_to_the_clients_timeout": counts.lost_answers,
    }


def recovery(done: Sequence[float], before: float, ends: int) -> int | None:
    """Return the seconds after the fault from which on verifications complete as fast as before it; None for never."""
    last = len(done) - WINDOW_SECONDS
    slow = [
        at
        for at in range(ends, last + 1)
        if sum(done[at : at + WINDOW_SECONDS]) < RECOVERED * before * WINDOW_SECONDS
    ]
    if not slow:
        return 0
    return None if slow[-1] == last else slow[-1] + 1 - ends


def _rate(done: Mapping[int, int], first: int, end: int) -> float:
    return sum(done[second] for second in range(first, end)) / (end - first)


def one_process(costs: Mapping[str, Any], servers: int, hang_seconds: float) -> Shape:
    """Return the deployment that is measured: one process for each surface, one base URL."""
    measured = costs["cluster" if servers > 1 else "one_server"]
    cpu = {name: each / 1000 for name, each in measured["cpu_ms_of_requests"].items()}
    redis = _redis(costs)
    return Shape(
        1, 1, 1, servers, cpu, redis, hang_seconds, base_urls=1, limits=LIMITS if servers > 1 else ()
    )


def capacity(costs: Mapping[str, Any], kind: str, walkers: int = 64, journeys: int = 1500) -> float:
    """Return the journeys a second of one process in a closed loop, in which every call comes after 0.1 s."""
    world = World(one_process(costs, 1 if kind == "one_server" else 3, 0), lambda _: 0.0)
    world.call_after_seconds = (0.1, 0.1)
    left = iter(range(journeys))

    def walk() -> Steps:
        for _ in left:
            yield from Person(world).verify()

    running = [world.env.process(walk()) for _ in range(walkers)]
    world.env.run(until=world.env.all_of(running))
    return journeys / float(world.env.now)


def provider_hangs(costs: Mapping[str, Any], faults: Mapping[str, Any]) -> dict[str, int]:
    """Return how many orders one process sends and refuses while the provider hangs."""
    world = World(one_process(costs, 1, 0), lambda _: inf)
    _at_rate(world, faults, lambda _: Person(world).create)
    return {"orders_sent": world.counts.orders["sent"], "orders_refused": world.counts.orders["refused"]}


def master_hangs(costs: Mapping[str, Any], faults: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return the answers to reads while one of three masters hangs: of its numbers, and of others."""
    hang = faults["master_hangs"]["of_its_numbers"]["median_seconds"]["503"]
    world = World(one_process(costs, 3, hang), lambda _: NORMAL_SECONDS)
    world.servers[0].down_until = inf
    results: dict[str, dict[str, int]] = {"of_its_numbers": {}, "of_other_numbers": {}}

    def read(index: int) -> Callable[[Process], Steps]:
        person, group = Person(world), results["of_other_numbers" if index % 2 else "of_its_numbers"]
        person.own = world.servers[index % 2]

        def reading(process: Process) -> Steps:
            refused = yield from person.served(person.read, process)
            status = "503" if refused else "200"
            group[status] = group.get(status, 0) + 1

        return reading

    _at_rate(world, faults, read)
    return results


def _at_rate(
    world: World, faults: Mapping[str, Any], request: Callable[[int], Callable[[Process], Steps]]
) -> None:
    """Send requests to the only process at the measured rate."""

    def send() -> Steps:
        for index in range(faults["per_second"] * faults["seconds"]):
            asked = request(index)
            world.env.process(Person(world).served(asked, world.api[0]))
            yield world.env.timeout(1 / faults["per_second"])

    world.env.process(send())
    world.env.run(until=faults["seconds"] + 60)


def bounds() -> dict[str, float]:
    """Return the bounds that every run must keep: connections and orders of a process, and seconds."""
    waiting, orders = int(setting("MAX_WAITING")), int(setting("MAX_ORDERS"))
    return {
        "most_orders_of_a_process": orders,
        # As gunicorn_conf.py computes worker_connections.
        "most_requests_of_a_process": waiting + orders + 1000,
        "longest_cpu_queue_seconds": 5,
        "answers_lost_to_the_clients_timeout": 0,
    }
