"""`waitcall worker` as it runs in production, beside gunicorn, Valkey and the provider's simulator."""

import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import Service, Starting, Working, launch_worker
from tests.redis_servers import Server, wait_for

pytestmark = pytest.mark.slow
Workers = Callable[..., Working]


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Workers]:
    with ExitStack() as started:

        def start(service: Service, **environ: str) -> Working:
            worker = launch_worker(service, tmp_path, **environ)
            started.callback(worker.stop)
            return worker

        yield start


@pytest.fixture
def fresh(redis_server: Server, simulator: Simulator) -> None:
    with redis_server.client() as client:
        client.flushall()
    simulator.exchange.reset()
    simulator.faults.load([], None)


def dial(simulator: Simulator, number: str, shown: str, *, lose: bool) -> None:
    body = json.dumps({"cli": number, "did": shown, "lose": lose}).encode()
    request = urllib.request.Request(
        f"{simulator.control_url}/dial", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert json.load(response)["reported"]


@pytest.mark.usefixtures("fresh")
def test_with_three_callbacks_in_ten_lost_every_call_verifies_within_one_poll(
    starting: Starting, working: Workers, simulator: Simulator
) -> None:
    service = starting()
    worker = working(service, WAITCALL_INBOX_POLL_SECONDS="20")
    wait_for(lambda: polls(simulator))
    made: dict[str, dict[str, Any]] = {}
    for index in range(60):
        number = f"+7999100{index:04d}"
        made[number] = service.create(number).json
    lost = 0
    for index, (number, answer) in enumerate(made.items()):
        lose = index % 10 < 3
        lost += lose
        dial(simulator, number, answer["call"]["number"], lose=lose)
    ids = [answer["id"] for answer in made.values()]
    wait_for(lambda: statuses(service, ids) == {"verified"}, seconds=25)
    assert all(service.consume(each).status == 200 for each in ids)
    counted = worker.metrics()
    assert lost == 18
    assert counted['waitcall_inbox_calls_total{outcome="confirmed"}'] == lost
    assert counted['waitcall_inbox_calls_total{outcome="repeated"}'] == 60 - lost
    assert service.total("waitcall_verifications_verified_total") == 60 - lost
    assert counted["waitcall_provider_balance"] == 250.8
    assert counted["waitcall_provider_balance_low"] == 0
    # Nothing of it shows a number.
    assert "999100" not in worker.log.read_text()


@pytest.mark.usefixtures("fresh")
def test_a_paused_leader_is_succeeded_and_can_do_no_harm_when_it_wakes(
    starting: Starting, working: Workers, simulator: Simulator, redis_server: Server
) -> None:
    service = starting()
    workers = [working(service), working(service)]
    wait_for(lambda: sorted(each.fence() for each in workers) == [0, 1])
    first, second = sorted(workers, key=lambda each: -each.fence())
    wait_for(lambda: polls(simulator))
    first.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: second.fence() == 2, seconds=20)
    first.process.send_signal(signal.SIGCONT)
    # By its own clock its lease is over at once; it never leads beside the other.
    assert first.fence() == 0
    assert second.fence() == 2
    service.create()
    asked = polls(simulator)
    wait_for(lambda: polls(simulator) > asked, seconds=40)
    assert (first.fence(), second.fence()) == (0, 2)
    with redis_server.client() as client:
        assert client.get("waitcall:{worker}:fence") == b"2"
    # Told to end, it resigns: nobody waits for its lease.
    assert second.stop() == 0
    wait_for(lambda: first.fence() == 3, seconds=5)
    assert 'leading", "fence": 2' not in first.log.read_text()


@pytest.mark.usefixtures("fresh")
def test_told_to_end_while_it_is_paused_it_ends_when_it_wakes(starting: Starting, working: Workers) -> None:
    """The kernel gives such a signal to any thread."""
    service = starting()
    for _ in range(4):
        worker = working(service)
        worker.process.send_signal(signal.SIGSTOP)
        worker.process.send_signal(signal.SIGCONT)
        worker.process.terminate()
        assert worker.process.wait(40) == 0


@pytest.mark.usefixtures("fresh")
def test_a_verification_that_nobody_calls_is_finished_and_counted_once(
    starting: Starting, working: Workers, redis_server: Server
) -> None:
    """Its deadline is moved into the past; no request asks about it."""
    service = starting()
    working(service)
    created = service.create().json
    with redis_server.client() as client:
        key = f"waitcall:{{{created['id'][4:28]}}}:v:{created['id'][28:]}"
        document = json.loads(client.get(key))
        document["expires_at"] -= 1000
        client.set(key, json.dumps(document, separators=(",", ":")), keepttl=True)
        for part in range(8):
            for member in client.zrange(f"waitcall:{{due-{part}}}:due", 0, -1):
                client.zadd(f"waitcall:{{due-{part}}}:due", {member: 0})
        wait_for(lambda: json.loads(client.get(key))["status"] == "expired", seconds=5)


@pytest.mark.usefixtures("fresh")
def test_without_redis_the_worker_waits_and_is_alive(starting: Starting, working: Workers) -> None:
    service = starting()
    worker = working(service, WAITCALL_REDIS_URL="redis://127.0.0.1:9/0")
    with urllib.request.urlopen(f"{worker.ops}/livez", timeout=5) as response:
        assert response.status == 200
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{worker.ops}/readyz", timeout=5)
    assert worker.fence() == 0
    assert worker.stop() == 0


def polls(simulator: Simulator) -> int:
    return sum(each.get("endpoint") == "get_answers" for each in list(simulator.exchange.ledger))


def statuses(service: Service, ids: list[str]) -> set[str]:
    return {service.read(each).json["status"] for each in ids}
