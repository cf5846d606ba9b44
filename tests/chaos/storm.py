"""Run real processes on loopback, a crowd that starts verifications and calls, and failures meanwhile."""

import json
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from time import monotonic, time

from simulator.dialler import Handler
from simulator.own_numbers import Trunk
from simulator.server import Options, Simulator
from tests.chaos.crowd import Journey, Phone, Replicas, Square, Unproven, crowd
from tests.chaos.mischief import Mischief, forge
from tests.chaos.tally import Tally, tally
from tests.chaos.topologies import Cluster, Sentinel, Single, Topology
from tests.end_to_end.conftest import (
    KEY,
    POLICY,
    SECRET,
    Service,
    Working,
    answers,
    launch,
    launch_worker,
    poll_inbox,
)
from tests.redis_servers import free_port, wait_for
from tests.worlds import redis_connection
from waitcall.adapters.redis.leadership import RedisProgress
from waitcall.application.reconcile_inbox import SETTLING

POLL_SECONDS = 20
THREADS = 48
SIP_SECRET = "secret-of-the-sip-proxy-of-the-storm"
OWN_NUMBERS = ["74951234567", "74951234568", "74951234569", "74951234570"]
OWN = f"""
[routing]
default = ["smsc"]
regions = {{KZ = ["own"]}}
[own_numbers]
sip = {[f"+{each}" for each in OWN_NUMBERS]}
"""


@dataclass(frozen=True)
class Run:
    """Parameters of a run."""

    topology: str
    count: int
    seed: int = 1
    per_second: float = 20.0
    reconciliation: bool = True
    patience_seconds: float = 100.0
    """Longest wait after the last failure. With reconciliation, several polls of the inbox fit in it."""
    hurried: bool = False
    """Cause the failures of Redis and the other failures, and poll the inbox early at the end."""


@dataclass(frozen=True)
class Report:
    """Result of a run."""

    tally: Tally
    mischief: dict[str, int]
    answers: dict[str, int]
    """Number of answers to the clients by status and problem code, or by the connection's error."""
    broken: dict[str, list[str]]
    """Last statuses of the verifications for which a promise was broken, to help debug a bad run."""


def storm(run: Run) -> Report:
    """Run one storm. The processes always end, and the files stay only if a promise was broken."""
    dice = random.Random(run.seed)
    with ExitStack() as stack:
        topology = _topology(run.topology, dice)
        stack.callback(topology.close)
        directory = Path(tempfile.mkdtemp(prefix="waitcall-chaos-"))
        ports = [free_port() for _ in "ab"]
        own = _own_numbers(ports)
        simulator = stack.enter_context(_simulator(run.seed, own))
        services, workers = stack.enter_context(_processes(run, topology, simulator, directory, ports))
        stack.enter_context(_callbacks_to_each(simulator, services))
        replicas, phone = Replicas([each.api for each in services], KEY), Phone(simulator.control_url)
        mischief = Mischief(
            topology, services, workers, simulator.control_url, random.Random(run.seed), at_once=run.hurried
        )
        square = stack.enter_context(Square(THREADS))
        journeys = [Journey(each, replicas, phone, square.enter) for each in crowd(run.count, 0, dice)]
        # The first poll of a new installation proves nothing (ADR 0017), so it must come before the first call.
        if run.reconciliation:
            _wait_for_the_first_poll(topology)
        mischief.start()
        for position, journey in enumerate(journeys):
            square.enter(journey, after=position / run.per_second)
        square.wait(run.count / run.per_second)
        silent = [each for each in journeys if not each.person.calls]
        forge(phone, silent, own, int(time()))
        mischief.stop()
        if run.hurried and run.reconciliation:
            _poll_until_all_are_over(square, topology, run.patience_seconds)
        _wait(run, square, [each for each in journeys if each.person.calls or not each.id])
        # Verifications without a call are read once more, and a client tries to consume them.
        for journey in journeys:
            if journey.id and not journey.person.calls:
                square.enter(Unproven(journey))
        _wait(run, square, journeys)
        counted = tally(journeys, list(simulator.exchange.ledger))
    broken = [
        each
        for each in journeys
        if each.person.calls and (not each.redemptions or "verified" not in each.statuses)
    ]
    if counted.broken:
        # The files of a bad run stay for debugging.
        lines = [json.dumps(each) for each in simulator.exchange.ledger]
        (directory / "ledger.jsonl").write_text("\n".join(lines))
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return Report(
        counted,
        dict(mischief.done),
        dict(replicas.answers),
        {f"{each.person.number} {each.id}": each.statuses[-5:] for each in broken[:20]},
    )


def _wait_for_the_first_poll(topology: Topology) -> None:
    with redis_connection(topology.url) as connection:
        wait_for(lambda: RedisProgress(connection).load().read_at is not None, seconds=60)


def _wait(run: Run, square: Square, journeys: list[Journey]) -> None:
    """Wait until all journeys are over. Without reconciliation a journey whose callback is lost never ends."""
    if run.reconciliation:
        square.wait(run.patience_seconds)
    else:
        wait_for(lambda: all(each.over or each.waits_in_vain for each in journeys), run.patience_seconds)


def _poll_until_all_are_over(square: Square, topology: Topology, patience_seconds: float) -> None:
    """Poll the inbox until all journeys are over.

    A poll leaves calls younger than ``SETTLING`` to the next poll, so one poll must come after the last call.
    """
    deadline = monotonic() + patience_seconds
    while not square.wait(SETTLING.total_seconds() + 1) and monotonic() < deadline:
        with redis_connection(topology.url) as connection, connection.using("inbox") as client:
            poll_inbox(client)


def _own_numbers(ports: list[int]) -> Trunk:
    """Return our own numbers. Their SIP proxy reports to both replicas in turn."""
    handler, fallback = (f"http://127.0.0.1:{port}/callbacks/sip" for port in ports)
    return Trunk("sip", tuple(OWN_NUMBERS), handler, SIP_SECRET, fallback=fallback)


def _topology(name: str, dice: random.Random) -> Topology:
    return Cluster(dice) if name == "cluster" else {"single": Single, "sentinel": Sentinel}[name]()


@contextmanager
def _simulator(seed: int, own: Trunk) -> Iterator[Simulator]:
    handler = Handler(f"http://127.0.0.1:{free_port()}/callbacks/smsc", SECRET)
    with Simulator(Options(handler, calm=True, seed=seed, own=[own])) as running:
        yield running


@contextmanager
def _processes(
    run: Run, topology: Topology, simulator: Simulator, directory: Path, ports: list[int]
) -> Iterator[tuple[list[Service], list[Working]]]:
    services: list[Service] = []
    workers: list[Working] = []
    try:
        for name, port in zip("ab", ports, strict=True):
            (directory / name).mkdir()
            environ = {
                "callback_port": str(port),
                "WAITCALL_SIP_SECRETS": SIP_SECRET,
                "WAITCALL_REDIS_MIN_REPLICAS": str(topology.min_replicas),
                "WAITCALL_INBOX_POLL_SECONDS": str(POLL_SECONDS if run.reconciliation else 0),
                "WAITCALL_SMSC_TIMEOUT_SECONDS": "3",
            }
            services.append(launch(directory / name, topology, simulator, environ, POLICY + OWN))
        for service in services:
            wait_for(partial(answers, service, "readyz"))
        workers.extend(launch_worker(service, directory) for service in services)
        yield services, workers
    finally:
        for process in [each.process for each in (*workers, *services)]:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in [each.process for each in (*workers, *services)]:
            process.wait(60)


@contextmanager
def _callbacks_to_each(simulator: Simulator, services: list[Service]) -> Iterator[None]:
    """Send the callbacks to the replicas in turn, as a load balancer would."""
    ended = Event()

    def turn() -> None:
        for service in cycle(services):
            url = f"{service.callback}/callbacks/smsc"
            simulator.dialler.handler = replace(simulator.dialler.handler, url=url)
            if ended.wait(0.25):
                return

    thread = Thread(target=turn)
    thread.start()
    yield
    ended.set()
    thread.join()
