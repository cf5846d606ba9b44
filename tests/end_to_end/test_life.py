"""Test how a replica ends: on request, and killed in the middle of its work."""

import os
import signal
import threading

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import Answered, Service, Starting, answers, connections
from tests.redis_servers import free_port, wait_for

pytestmark = pytest.mark.slow
BUDGET_SECONDS = 8
SLACK_SECONDS = 4
"""Seconds by which an order's lease exceeds its budget: three, and one for rounding up."""


def test_a_replica_told_to_end_is_first_unready_and_still_serves(starting: Starting) -> None:
    service = starting(callback_port=str(free_port()), WAITCALL_DRAIN_SECONDS="20")
    made = service.create("+79991239001").json
    polled: list[Answered] = []
    poll = threading.Thread(target=lambda: polled.append(service.read(made["id"], wait=30)))
    poll.start()
    wait_for(lambda: connections(service) > 0)

    service.process.terminate()

    wait_for(lambda: ready(service) == (503, "leaving"))
    assert service.ask("GET", f"{service.ops}/livez").status == 200
    # Waiting polls get the current status, and new polls are answered at once.
    poll.join(5)
    assert [(each.status, each.json["status"]) for each in polled] == [(200, "pending")]
    assert service.read(made["id"], wait=30).json["status"] == "pending"
    assert service.create("+79991239002").status == 201
    assert ready(service) == (503, "leaving")
    assert service.process.wait(40) == 0


def test_a_worker_that_gets_a_second_sigterm_does_not_drain(starting: Starting) -> None:
    """The drain takes 20 s, so a process that ends within 12 s has not drained."""
    service = starting(callback_port=str(free_port()), WAITCALL_DRAIN_SECONDS="20", WAITCALL_WORKERS="1")
    (worker,) = service.workers()
    service.process.terminate()
    wait_for(lambda: ready(service) == (503, "leaving"))
    os.kill(worker, signal.SIGTERM)
    assert service.process.wait(12) == 0


def test_a_reload_is_not_the_end_of_a_replica(starting: Starting) -> None:
    """Workers that leave for a reload do not make the replica unready."""
    service = starting(callback_port=str(free_port()), WAITCALL_DRAIN_SECONDS="5")
    old = set(service.workers())
    service.process.send_signal(signal.SIGHUP)
    seen = set()

    def reloaded() -> bool:
        seen.add(ready(service))
        return bool(service.workers()) and not old & set(service.workers())

    wait_for(reloaded)
    assert seen == {(200, "ready")}


@pytest.mark.parametrize("victim", ["workers", "master"])
def test_a_killed_process_leaves_no_stuck_reservation(
    starting: Starting, simulator: Simulator, victim: str
) -> None:
    service = starting(callback_port=str(free_port()), WAITCALL_SMSC_TIMEOUT_SECONDS=str(BUDGET_SECONDS))
    beside = starting(callback_port=str(free_port()), WAITCALL_SMSC_TIMEOUT_SECONDS=str(BUDGET_SECONDS))
    number = {"workers": "+79991239003", "master": "+79991239004"}[victim]
    simulator.faults.load([{"kind": "hang"}], None)
    ordered = orders(simulator)
    create = threading.Thread(target=ignoring_the_end_of, args=(service, number))
    create.start()
    wait_for(lambda: orders(simulator) > ordered)

    for pid in service.workers() if victim == "workers" else [service.process.pid]:
        os.kill(pid, signal.SIGKILL)
    refused = beside.create(number, reference="another flow")

    assert (refused.status, refused.json["code"]) == (409, "verification_in_progress")
    assert refused.json["retry_after"] <= BUDGET_SECONDS + SLACK_SECONDS
    wait_for(lambda: beside.create(number, reference="another flow").status == 201)
    create.join(20)
    simulator.release()


def test_a_killed_master_takes_its_workers_along_and_starts_again(starting: Starting) -> None:
    """The new master can bind the ports, because no orphaned worker keeps them."""
    service = starting(callback_port=str(free_port()))
    workers = service.workers()
    service.process.kill()
    service.process.wait()
    wait_for(lambda: not any(alive(pid) for pid in workers))
    service.start_again()
    wait_for(lambda: answers(service, "readyz"))


def ready(service: Service) -> tuple[int, str]:
    answer = service.ask("GET", f"{service.ops}/readyz")
    return answer.status, answer.json["status"]


def orders(simulator: Simulator) -> int:
    return sum(each.get("endpoint") == "wait_call" for each in list(simulator.exchange.ledger))


def ignoring_the_end_of(service: Service, number: str) -> None:
    try:
        service.create(number)
    except OSError:
        """The process died before it could answer."""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
