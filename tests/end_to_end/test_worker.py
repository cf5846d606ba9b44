"""Test ``waitcall worker`` as it runs in production, with gunicorn, Valkey and the provider simulator."""

import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from simulator.exchange import POOL
from simulator.server import Simulator
from tests.end_to_end.conftest import Service, Working, answers, launch, launch_worker, poll_inbox, settle
from tests.redis_servers import Server, wait_for

pytestmark = pytest.mark.slow
Workers = Callable[..., Working]

DEDICATED = "+79585550000"
EVIDENCE = f"""
dial_regions = ["RU"]
[purposes.login]
[purposes.exact]
match_dialled = true
[purposes.by_text]
channels = ["text_in"]
[purposes.by_either]
channels = ["call", "text_in"]
[purposes.reset]
min_assurance = "network"
[assurance.RU]
level = "network"
source = "a test"
[text_in]
numbers = ["{DEDICATED}"]
[clients.web]
purposes = ["login", "exact", "by_text", "by_either", "reset"]
[limits]
number = []
"""


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Workers]:
    with ExitStack() as started:

        def start(service: Service, **environ: str) -> Working:
            worker = launch_worker(service, tmp_path, **environ)
            started.callback(worker.stop)
            return worker

        yield start


@pytest.fixture(scope="module")
def service(
    redis_server: Server, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    running = launch(tmp_path_factory.mktemp("service"), redis_server, simulator, {}, EVIDENCE)
    wait_for(lambda: answers(running, "readyz"))
    yield running
    running.stop()


@pytest.fixture
def fresh(redis_server: Server, simulator: Simulator) -> None:
    with redis_server.client() as client:
        client.flushall()
    simulator.exchange.reset()
    simulator.faults.load([], None)


def tell(simulator: Simulator, path: str, **order: Any) -> Any:
    body = json.dumps(order).encode()
    request = urllib.request.Request(
        f"{simulator.control_url}/{path}", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def dial(simulator: Simulator, number: str, shown: str, *, lose: bool, **more: Any) -> None:
    assert tell(simulator, "dial", cli=number, did=shown, lose=lose, **more)["reported"]


@pytest.mark.usefixtures("fresh")
def test_with_three_callbacks_in_ten_lost_every_call_verifies_within_one_poll(
    service: Service, working: Workers, simulator: Simulator, redis_server: Server
) -> None:
    worker = working(service, WAITCALL_INBOX_POLL_SECONDS="20")
    wait_for(lambda: polls(simulator))
    verified = service.total("waitcall_verifications_verified_total")
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
    # A poll leaves calls of the last five seconds to the next poll.
    settle()
    with redis_server.client() as client:
        poll_inbox(client)
    assert statuses(service, ids) == {"verified"}
    assert all(service.consume(each).status == 200 for each in ids)
    counted = worker.metrics()
    assert lost == 18
    assert counted['waitcall_inbox_calls_total{outcome="confirmed"}'] == lost
    assert counted['waitcall_inbox_calls_total{outcome="repeated"}'] == 60 - lost
    assert service.total("waitcall_verifications_verified_total") == verified + 60 - lost
    assert counted["waitcall_provider_balance"] == 250.8
    assert counted["waitcall_provider_balance_low"] == 0
    # The log shows no phone number.
    assert "999100" not in worker.log.read_text()


FORGED: dict[str, tuple[str, dict[str, Any]]] = {
    "to the dedicated number": ("login", {"to": DEDICATED}),
    "to the dedicated number, its message lost": ("login", {"to": DEDICATED, "lose": True}),
    "to the dedicated number of a purpose with texts": ("by_either", {"to": DEDICATED, "lose": True}),
    "while a text is asked for": ("by_text", {"to": DEDICATED}),
    "while a text is asked for, its message lost": ("by_text", {"to": DEDICATED, "lose": True}),
    "to the number shown": ("login", {}),
    "to the number shown, which must match": ("exact", {}),
    "to the number shown, exactly like a call": ("login", {"text": "[waitcall]"}),
    "in upper case": ("login", {"text": "[WAITCALL] HELLO"}),
    "behind spaces": ("login", {"text": " \t\n\u00a0\u2003[waitcall] hello"}),
    "behind invisible characters": ("login", {"text": "\u200b\u202a[waitcall]\u00ad hello"}),
    "behind both, which a charset loses": ("login", {"text": "\u2003[waitcall] \u2603 привет"}),
    "where more is demanded": ("reset", {}),
    "where more is demanded, its message lost": ("reset", {"lose": True}),
}


@pytest.mark.usefixtures("fresh")
def test_no_forged_text_passes_for_a_call_and_a_lost_callback_is_still_made_good(
    service: Service, working: Workers, simulator: Simulator, redis_server: Server
) -> None:
    worker = working(service, WAITCALL_INBOX_POLL_SECONDS="20")
    wait_for(lambda: polls(simulator))
    victims: dict[str, tuple[str, str]] = {}
    for index, (case, (purpose, text)) in enumerate(FORGED.items()):
        number = f"+7999200{index:04d}"
        made = service.create(number, purpose=purpose).json
        shown = made["call"]["number"] if made["call"] else DEDICATED
        tell(simulator, "text", **({"cli": number, "to": shown, "text": "[waitcall] hello"} | text))
        victims[case] = (made["id"], purpose)
    # The callbacks of these calls are lost. The inbox lists the calls after the texts, so the texts are read first.
    unnamed, elsewhere, rung = (service.create(f"+799920100{each:02d}").json for each in range(3))
    other = next(each for each in POOL if f"+{each}" != elsewhere["call"]["number"])
    dial(simulator, "+79992010000", unnamed["call"]["number"], lose=True, to_phone=None)
    dial(simulator, "+79992010001", elsewhere["call"]["number"], lose=True, to_phone=other)
    dial(simulator, "+79992010002", rung["call"]["number"], lose=True)
    settle()
    with redis_server.client() as client:
        poll_inbox(client)

    assert service.read(rung["id"]).json["status"] == "verified"
    assert service.read(rung["id"]).json["assurance"] == "asserted"
    assert service.consume(rung["id"]).status == 200
    victims["a call without a number"] = (unnamed["id"], "login")
    victims["a call to another number"] = (elsewhere["id"], "login")
    for case, (verification, purpose) in victims.items():
        assert service.read(verification).json["status"] == "pending", case
        refused = service.ask(
            "POST",
            f"{service.api}/v1/verifications/{verification}/consume",
            {"purpose": purpose, "reference": "flow"},
        )
        assert (refused.status, refused.json["code"]) == (409, "not_verified"), case
    counted = worker.metrics()
    assert counted['waitcall_inbox_calls_total{outcome="confirmed"}'] == 1
    assert counted['waitcall_inbox_calls_total{outcome="unplaced"}'] == 1
    assert counted['waitcall_inbox_calls_total{outcome="weak"}'] == 1
    assert "999200" not in worker.log.read_text()


@pytest.mark.usefixtures("fresh")
def test_a_paused_leader_is_replaced_and_does_no_harm_when_it_wakes(
    service: Service, working: Workers, simulator: Simulator, redis_server: Server
) -> None:
    workers = [working(service), working(service)]
    wait_for(lambda: sorted(each.fence() for each in workers) == [0, 1])
    first, second = sorted(workers, key=lambda each: -each.fence())
    wait_for(lambda: polls(simulator))
    first.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: second.fence() == 2, seconds=20)
    first.process.send_signal(signal.SIGCONT)
    # The first worker's own clock tells it at once that its lease is over, so there are never two leaders.
    assert first.fence() == 0
    assert second.fence() == 2
    service.create()
    asked = polls(simulator)
    with redis_server.client() as client:
        poll_inbox(client)
        assert polls(simulator) > asked
        assert (first.fence(), second.fence()) == (0, 2)
        assert client.get("waitcall:{worker}:fence") == b"2"
    # A leader that is told to end gives up its lease, so the other need not wait for it to expire.
    assert second.stop() == 0
    wait_for(lambda: first.fence() == 3, seconds=5)
    lines = [json.loads(line) for line in first.log.read_text().splitlines() if line.startswith("{")]
    assert [line["fence"] for line in lines if line["message"] == "became leader"] == [1, 3]


@pytest.mark.usefixtures("fresh")
def test_a_worker_that_is_told_to_end_just_after_a_pause_ends(service: Service, working: Workers) -> None:
    """The kernel may deliver the signal to any thread, so one try proves little."""
    for _ in range(4):
        worker = working(service)
        worker.process.send_signal(signal.SIGSTOP)
        worker.process.send_signal(signal.SIGCONT)
        worker.process.terminate()
        assert worker.process.wait(40) == 0


@pytest.mark.usefixtures("fresh")
def test_a_verification_that_nobody_calls_is_finished_and_counted_once(
    service: Service, working: Workers, redis_server: Server
) -> None:
    """The test moves the deadline into the past, and no request reads the verification."""
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
def test_without_redis_the_worker_waits_and_is_alive(service: Service, working: Workers) -> None:
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
