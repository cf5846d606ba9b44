"""Discrete-event model of waitcall over a Redis cluster: processes, servers, the provider, clients and people.

Its limits, times and retries are those of the code: they are imported, not copied. A process is a queue of bursts of CPU,
as gevent runs them; a server is a queue of commands. A request alternates between both.

One of ``parts`` equal parts of the processes is simulated. The servers and the load have the same part of their speed, so every
queue is as full as in the whole deployment.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from math import ceil, inf
from types import SimpleNamespace
from typing import Any

import simpy
from redis.crc import key_slot
from waitcall_client import requests as client_requests
from waitcall_client.aio import AsyncWaitcall
from waitcall_client.errors import Problem

from waitcall.adapters.providers.guarded_calls import (
    BREAKER_FAILURES,
    BREAKER_SECONDS,
    RETRY_AFTER_SECONDS,
    SOCKET_SHARE,
    Breaker,
)
from waitcall.adapters.redis.connection import RETRY_AFTER_SECONDS as STORE_RETRY_AFTER_SECONDS
from waitcall.adapters.redis.keys import AUDIT, DUE, LISTS
from waitcall.adapters.redis.topology import CLUSTER_TIMEOUT_SECONDS, TURN_SECONDS
from waitcall.composition.container import MAX_REDIS_CONNECTIONS
from waitcall.configuration.policy import default_policy, read_policy
from waitcall.configuration.settings import SETTINGS
from waitcall.domain.limits import Scope

Steps = Generator[simpy.Event, Any, Any]
CLIENT = signature(AsyncWaitcall.__init__).parameters
SLOTS = 16384
NETWORK_SECONDS = 0.0003
PERSON_TRIES = 1
"""Further tries of a person whose start failed, or whose call had no effect."""
PERSON_SECONDS = 5.0
"""Pause of a person before the next try."""
CALL_AFTER_SECONDS = (5.0, 20.0)
"""Shortest and longest time that a person takes to call."""
PATIENCE_SECONDS = 120.0
"""Time after which a page gives up waiting for the call."""

ALL = (Scope.COUNTRY, Scope.GLOBAL)
"""Scopes of limits that have one key for all, or nearly all, verifications."""


def setting(name: str) -> str:
    """Return the text of a setting's default."""
    return str(SETTINGS[name].default)


def limits_of_create() -> list[str]:
    """Return for each limit of a create in the shipped policy where its key lies: the same server for all, or any."""
    limits = read_policy(default_policy()).limits
    alone = (Scope.NUMBER, Scope.NUMBER_TOTAL, Scope.IP, Scope.NETWORK)
    found = ["any" for scope in alone for _ in limits.get(scope, limits[Scope.NUMBER])]
    # The provider's own limit of a number comes last.
    return [*found, *(str(each) for each in ALL for _ in limits.get(each, ())), "any"]


Step = tuple[str, ...]
"""Places of the keys of one round trip. One that begins with ``soft`` may fail without an effect."""
OWN, LISTED, IDEMPOTENCY, ANSWER = ("own",), ("own", LISTS), ("any",), ("soft", "any")
BEFORE_LIMITS: list[Step] = [IDEMPOTENCY, ("own", LISTS, "conversion", "any"), OWN, ("soft", "due")]
LIMITS: list[Step] = [(each,) for each in limits_of_create()]
SHOWN: list[Step] = [OWN, ("soft", "due", "audit", "conversion", "any"), ANSWER]
REFUSED: list[Step] = [OWN, ("soft", "audit", *(each for (each,) in LIMITS)), ANSWER]
CALLBACK: list[Step] = [LISTED, OWN, ("soft", "due", "audit", "conversion", "any")]
CONSUME: list[Step] = [IDEMPOTENCY, OWN, (LISTS,), OWN, ("soft", "due", "audit"), ANSWER]


@dataclass(frozen=True)
class Shape:
    """Deployment to simulate.

    ``cpu`` has the CPU seconds of each request, ``redis`` those of one command by its place; ``any`` stands for all others.
    """

    per_second: float
    api: int
    public: int
    servers: int
    cpu: Mapping[str, float]
    redis: Mapping[str, float]
    hang_seconds: float
    """Seconds until a step at a server without a master fails."""
    parts: int = 1
    failures: int = BREAKER_FAILURES
    """Failures in a row after which the breaker opens."""
    max_orders: int = int(setting("MAX_ORDERS"))
    max_waiting: int = int(setting("MAX_WAITING"))
    budget_seconds: float = float(setting("SMSC_TIMEOUT_SECONDS"))
    base_urls: int = len(setting("SMSC_URLS").split(","))
    clients: int = MAX_REDIS_CONNECTIONS
    limits: Sequence[Step] = tuple(LIMITS)
    spread: bool = False
    """True if no key is used by all verifications, except the parts of the deadlines and of the audit stream."""
    breaker_first: bool = False
    """True if a create asks the breaker before it writes anything."""


class Refused(Exception):
    """An answer 503. ``code`` and ``retry_after`` are those of its problem."""

    def __init__(self, code: str, retry_after: int) -> None:
        super().__init__(code)
        self.code, self.retry_after = code, retry_after


TOO_LATE = Refused("timeout", 0)
"""Stands for an answer after the client's timeout."""
SHORT_BACKLOG_SECONDS = 0.5
"""Queue of a process's CPU with which each answer comes before the client's timeout."""


class Lane:
    """Something that does one thing at a time, in the order of asking: a process's CPU, or a Redis server."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._free_at = 0.0

    @property
    def backlog(self) -> float:
        """Seconds until everything that was asked for is done."""
        return max(self._free_at - self._env.now, 0.0)

    def add(self, seconds: float, after: float = 0.0) -> float:
        """Ask for work that may begin in ``after`` seconds. Return the seconds until it is done."""
        self._free_at = max(self._env.now + after, self._free_at) + seconds
        return self._free_at - self._env.now


class Server(Lane):
    """Redis master. Without a master its commands hang until ``down_until``."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self.down_until = -inf
        # A dict, because the order must be the same in each run.
        self.watched: dict[simpy.Event, None] = {}


Work = tuple[Server, float]
"""A command: its server, and the server's CPU seconds."""


class Process:
    """Worker process of the API or of the public surface."""

    def __init__(self, env: simpy.Environment, shape: Shape) -> None:
        self.env, self.shape = env, shape
        self.cpu = Lane(env)
        self.breaker = Breaker(shape.failures, BREAKER_SECONDS, lambda: env.now)
        self.orders = self.waiting = self.inside = self.most_inside = self.most_orders = 0
        self._free = shape.clients
        self.turns: deque[simpy.Event] = deque()

    def step(self, cpu: float, work: Sequence[Work], *, soft: bool = False) -> Steps:
        """Use a client for one round trip, with commands at several servers at once. A soft step may fail without an effect."""
        try:
            yield from self._client()
            try:
                yield from self._round_trip(cpu, work)
            finally:
                if self.turns:
                    self.turns.popleft().succeed()
                else:
                    self._free += 1
        except Refused:
            if not soft:
                raise

    def _client(self) -> Steps:
        if self._free:
            self._free -= 1
            return
        turn = self.env.event()
        self.turns.append(turn)
        yield turn | self.env.timeout(TURN_SECONDS)
        if not turn.triggered:
            self.turns.remove(turn)
            raise Refused("store_unavailable", STORE_RETRY_AFTER_SECONDS)

    def _round_trip(self, cpu: float, work: Sequence[Work]) -> Steps:
        after = self.cpu.add(cpu)
        left = max([server.down_until for server, _ in work]) - self.env.now - after
        if left > 0:
            hangs = min(left, self.shape.hang_seconds)
            yield self.env.timeout(after + hangs)
            if hangs < left:
                raise Refused("store_unavailable", STORE_RETRY_AFTER_SECONDS)
            after = 0.0
        took = max([server.add(seconds * self.shape.parts, after) for server, seconds in work])
        late = took - after > CLUSTER_TIMEOUT_SECONDS
        yield self.env.timeout((after + CLUSTER_TIMEOUT_SECONDS if late else took) + NETWORK_SECONDS)
        if late:
            raise Refused("store_unavailable", STORE_RETRY_AFTER_SECONDS)


@dataclass
class Counts:
    """Counts of what happened, by second, and the longest queues."""

    started: Counter[int] = field(default_factory=Counter)
    done: Counter[int] = field(default_factory=Counter)
    given_up: Counter[int] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    """Orders that were sent, refused by the breaker, and refused because too many were under way."""
    creates: list[tuple[float, str, float]] = field(default_factory=list)
    """Second, result and duration of each answer to a create."""
    longest_cpu_queue: float = 0.0
    most_turns: int = 0
    lost_answers: int = 0


class World:
    """The deployment, the provider and everybody who uses them."""

    def __init__(self, shape: Shape, provider: Callable[[float], float], seed: int = 1) -> None:
        """``provider``: returns the seconds that an order takes which is sent at a time."""
        self.env, self.shape, self.provider = simpy.Environment(), shape, provider
        self.random = random.Random(seed)  # noqa: S311  # nosec B311  # simulated people, no secret
        # The client's own backoff uses the module's generator.
        random.seed(seed)
        self.api = [Process(self.env, shape) for _ in range(max(round(shape.api / shape.parts), 1))]
        self.public = [Process(self.env, shape) for _ in range(max(round(shape.public / shape.parts), 1))]
        self.servers = [Server(self.env) for _ in range(shape.servers)]
        self.counts = Counts()
        self.call_after_seconds = CALL_AFTER_SECONDS
        self._fixed = {
            name: self.servers[key_slot(name.encode()) * shape.servers // SLOTS]
            for name in (LISTS, *DUE, *AUDIT, *map(str, ALL), "conversion")
        }

    @property
    def server_of_lists(self) -> Server:
        """The server with the operators' lists, which every create and consume reads."""
        return self._fixed[LISTS]

    @property
    def other_server(self) -> Server:
        """A server without any key that all verifications use; if there is none, that of the lists."""
        return next((each for each in self.servers if each not in self._fixed.values()), self.server_of_lists)

    def run(self, seconds: float) -> Counts:
        """Simulate that many seconds."""
        self.env.process(self._arrivals())
        self.env.process(self._look())
        self.env.run(until=seconds)
        return self.counts

    def without_master(self, servers: Sequence[Server], at: float, seconds: float) -> None:
        """Let servers have no master for some time. The polls of their records fail at once, which is the worst case."""

        def fault() -> Steps:
            yield self.env.timeout(at)
            for each in servers:
                each.down_until = at + seconds
                for watched in list(each.watched):
                    watched.succeed("store_unavailable")
                each.watched.clear()

        self.env.process(fault())

    def _arrivals(self) -> Steps:
        rate = self.shape.per_second / self.shape.parts
        while True:
            yield self.env.timeout(self.random.expovariate(rate))
            self.env.process(Person(self).verify())

    def _look(self) -> Steps:
        counts = self.counts
        while True:
            yield self.env.timeout(0.1)
            for each in (*self.api, *self.public):
                counts.longest_cpu_queue = max(counts.longest_cpu_queue, each.cpu.backlog)
                counts.most_turns = max(counts.most_turns, len(each.turns))

    def place(self, name: str, own: Server) -> Server:
        """Return the server of a key: of the number (``own``), of all verifications, or of some other key (``any``)."""
        if name == "own":
            return own
        if name == "any" or (self.shape.spread and name not in (*DUE, *AUDIT)):
            return self.random.choice(self.servers)
        return self._fixed[name]


class Person:
    """A person who verifies a number, with the page and the client in between."""

    def __init__(self, world: World) -> None:
        self.world, self.env = world, world.env
        self.own = world.random.choice(world.servers)
        # A verification has one of the eight parts of the deadlines and of the audit stream.
        self.places = {"due": world.random.choice(DUE), "audit": world.random.choice(AUDIT)}
        self.called: simpy.Event = self.env.event()

    def verify(self) -> Steps:
        """Start, call, wait and consume, with further tries."""
        counts, env = self.world.counts, self.env
        for _ in range(1 + PERSON_TRIES):
            counts.started[int(env.now)] += 1
            if (yield from self._ask(self.create)):
                break
            yield env.timeout(PERSON_SECONDS)
        else:
            counts.given_up[int(env.now)] += 1
            return
        env.process(self._calls())
        proven = (yield from self._waits()) and (yield from self._ask(self._consume))
        (counts.done if proven else counts.given_up)[int(env.now)] += 1

    def _waits(self) -> Generator[simpy.Event, Any, bool]:
        """Poll until the call is known. Return False if the page gives up before."""
        until = self.env.now + PATIENCE_SECONDS
        while self.env.now < until:
            asked = self.env.now
            if (yield from self._ask(self._poll)) and self.called.triggered:
                return True
            pause = client_requests.SHORTEST_PAUSE_SECONDS - (self.env.now - asked)
            yield self.env.timeout(max(pause, 0))
        return False

    def _calls(self) -> Steps:
        yield self.env.timeout(self.world.random.uniform(*self.world.call_after_seconds))
        for _ in range(1 + PERSON_TRIES):
            try:
                yield from self._callback(self.world.random.choice(self.world.public))
            except Refused:
                # It is unknown if the provider repeats a callback, so the person calls again.
                yield self.env.timeout(PERSON_SECONDS)
            else:
                self.called.succeed("called")
                return

    def _ask(self, request: Callable[[Process], Steps]) -> Generator[simpy.Event, Any, bool]:
        """Ask as waitcall's own client does: with its timeout, its attempts and its pauses. Return if it succeeded."""
        asked = client_requests.Request("POST", "", repeatable=True)
        for attempt in range(1, CLIENT["attempts"].default + 1):
            error = yield from self._attempt(request, self.world.random.choice(self.world.api))
            if error is None:
                return True
            state: Any = SimpleNamespace(
                attempt_number=attempt, outcome=SimpleNamespace(exception=lambda e=error: e)
            )
            if not client_requests.again(asked, error):
                return False
            yield self.env.timeout(client_requests.pause(state))
        return False

    def _attempt(
        self, request: Callable[[Process], Steps], process: Process
    ) -> Generator[simpy.Event, Any, Exception | None]:
        """Send a request. Return the error that the client gets; None if it succeeded."""
        began = self.env.now
        refused: Refused | None
        if process.cpu.backlog < SHORT_BACKLOG_SECONDS:
            # The answer will come before the client's timeout, so it needs no event of its own.
            refused = yield from self.served(request, process)
        else:
            limit = CLIENT["timeout_seconds"].default
            limit += client_requests.LONGEST_WAIT_SECONDS if request == self._poll else 0
            running = self.env.process(self.served(request, process))
            yield running | self.env.timeout(limit)
            # The process goes on with a request whose client has left.
            refused = running.value if running.triggered else TOO_LATE
        error: Exception | None = None
        if refused is TOO_LATE:
            self.world.counts.lost_answers += 1
            error = client_requests.Lost("ReadTimeout", sent=True)
        elif refused:
            error = Problem(refused.code, 503, "", retry_after=refused.retry_after)
        result = refused.code if refused else "201"
        if request == self.create:
            self.world.counts.creates.append((began, result, self.env.now - began))
        return error

    def served(
        self, request: Callable[[Process], Steps], process: Process
    ) -> Generator[simpy.Event, Any, Refused | None]:
        """Let a process serve a request. Return the refusal that it answers, if any."""
        process.inside += 1
        process.most_inside = max(process.most_inside, process.inside)
        try:
            yield from request(process)
        except Refused as refused:
            return refused
        finally:
            process.inside -= 1
        return None

    def _steps(self, process: Process, cpu: float, steps: Sequence[Sequence[str]]) -> Steps:
        """Make round trips, each at the servers of its keys. One whose first word is ``soft`` may fail."""
        for names in steps:
            work = [self._work(each) for each in names if each != "soft"]
            yield from process.step(cpu, work, soft=names[0] == "soft")

    def _work(self, name: str) -> Work:
        redis = self.world.shape.redis
        return self.world.place(self.places.get(name, name), self.own), redis.get(name, redis["any"])

    def create(self, process: Process) -> Steps:
        """Serve a create."""
        before = [*BEFORE_LIMITS, *self.world.shape.limits]
        cpu = self.world.shape.cpu["create"] / (len(before) + len(SHOWN))
        if self.world.shape.breaker_first and process.breaker.seconds_left:
            yield self.env.timeout(process.cpu.add(cpu))
            self._check(process)
        try:
            yield from self._steps(process, cpu, before)
            yield from self._order(process)
        except Refused as refused:
            # The idempotency key is given back. If the order failed, the record ends and the limits get their uses back.
            ordered = refused.code == "provider_unavailable"
            yield from self._steps(process, cpu, REFUSED if ordered else [ANSWER])
            raise
        yield from self._steps(process, cpu, SHOWN)

    def _check(self, process: Process) -> None:
        if pause := process.breaker.seconds_left:
            self.world.counts.orders["refused"] += 1
            raise Refused("provider_unavailable", ceil(pause))

    def _order(self, process: Process) -> Steps:
        counts, shape, env = self.world.counts, self.world.shape, self.env
        self._check(process)
        if process.orders >= shape.max_orders:
            counts.orders["too_many"] += 1
            raise Refused("provider_unavailable", 1)
        process.breaker.called()
        process.orders += 1
        process.most_orders = max(process.most_orders, process.orders)
        deadline = env.now + shape.budget_seconds * SOCKET_SHARE
        try:
            for tried in range(shape.base_urls):
                share = (deadline - env.now) / (shape.base_urls - tried)
                counts.orders["sent"] += 1
                took = self.world.provider(env.now)
                yield env.timeout(min(took, share))
                if took <= share:
                    process.breaker.succeeded()
                    return
        finally:
            process.orders -= 1
        process.breaker.failed()
        raise Refused("provider_unavailable", RETRY_AFTER_SECONDS)

    def read(self, process: Process) -> Steps:
        """Serve a read that does not wait."""
        yield from process.step(self.world.shape.cpu["poll"], [self._work("own")])

    def _poll(self, process: Process) -> Steps:
        yield from self.read(process)
        if self.called.triggered or process.waiting >= self.world.shape.max_waiting:
            return
        process.waiting += 1
        failed = self.env.event()
        self.own.watched[failed] = None
        yield self.called | failed | self.env.timeout(client_requests.LONGEST_WAIT_SECONDS)
        process.waiting -= 1
        self.own.watched.pop(failed, None)
        if failed.triggered and not self.called.triggered:
            raise Refused("store_unavailable", STORE_RETRY_AFTER_SECONDS)
        yield from process.step(self.world.shape.cpu["wake"], [self._work("own")])

    def _callback(self, process: Process) -> Steps:
        yield from self._steps(process, self.world.shape.cpu["callback"] / len(CALLBACK), CALLBACK)

    def _consume(self, process: Process) -> Steps:
        yield from self._steps(process, self.world.shape.cpu["consume"] / len(CONSUME), CONSUME)
