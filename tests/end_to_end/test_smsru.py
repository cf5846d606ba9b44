"""Test the second provider, sms.ru, with gunicorn, Valkey and the simulator: routing, reports, queries, attacks."""

import json
import signal
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.exchange import POOL as SMSC_POOL
from simulator.server import Simulator
from simulator.smsru import POOL, SmsruAccount, batch
from tests.end_to_end.conftest import SECRET, Service, Starting, answers, launch, launch_worker
from tests.making import together
from tests.redis_servers import Server, free_port, wait_for
from waitcall.adapters.providers.guarded_calls import BREAKER_FAILURES
from waitcall.adapters.redis.keys import orders_to_ask

pytestmark = pytest.mark.slow

NUMBER, KAZAKH = "+79991234567", "+77012345678"
API_ID = "sim-smsru-api-id-0001"
POLICY = """
dial_regions = ["RU"]
[purposes.login]
[clients.web]
purposes = ["login"]
[limits]
number = []
[routing]
default = ["smsc"]
[routing.regions]
RU = ["smsru", "smsc"]
"""


@pytest.fixture(autouse=True)
def fresh(simulator: Simulator, redis_server: Server) -> Iterator[None]:
    with redis_server.client() as client:
        client.flushall()
    yield
    post(simulator, "reset")


def settings(simulator: Simulator) -> dict[str, str]:
    return {
        "WAITCALL_SMSRU_API_ID": API_ID,
        "WAITCALL_SMSRU_URL": simulator.smsru_url,
        "WAITCALL_SMSRU_TIMEOUT_SECONDS": "1",
    }


@pytest.fixture(scope="module")
def service(
    redis_server: Server, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("smsru")
    running = launch(directory, redis_server, simulator, settings(simulator), POLICY)
    wait_for(lambda: answers(running, "readyz"))
    yield running
    running.stop()


@pytest.fixture
def failing(starting: Starting, simulator: Simulator) -> Service:
    """Service of one test, whose circuit breakers may open.

    The providers send their callbacks to the module's service, which has the same store.
    """
    return starting(policy=POLICY, callback_port=str(free_port()), **settings(simulator))


def post(simulator: Simulator, path: str, **order: Any) -> Any:
    request = urllib.request.Request(
        f"{simulator.control_url}/{path}",
        data=json.dumps(order).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def orders(simulator: Simulator) -> Counter[str]:
    """Count the orders at each provider."""
    return Counter(
        each["endpoint"]
        for each in simulator.exchange.ledger
        if each.get("endpoint") in ("wait_call", "callcheck_add")
    )


def send(service: Service, request: urllib.request.Request) -> tuple[int, str]:
    request.full_url = f"{service.callback}/callbacks/smsru"
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def digits(made: Any) -> str:
    return str(made["call"]["number"]).removeprefix("+")


def test_a_call_to_its_number_verifies_and_is_redeemed_once(service: Service, simulator: Simulator) -> None:
    given = ("waitcall_orders_total", 'provider="smsru"', 'outcome="given"')
    before = service.total(*given)
    made = service.create().json
    assert digits(made) in POOL

    told = post(simulator, "dial", cli=NUMBER, did=made["call"]["number"])

    assert [(each["status"], each["answer"]) for each in told["sent"]] == [(200, "100")]
    read = service.read(made["id"], wait=5).json
    assert (read["status"], read["reason"]) == ("verified", "call_matched")
    assert service.consume(made["id"]).status == 200
    assert service.consume(made["id"]).status == 409
    assert service.total(*given) == before + 1


def test_another_country_stays_with_the_first_provider(service: Service, simulator: Simulator) -> None:
    assert digits(service.create(KAZAKH).json) in SMSC_POOL
    assert orders(simulator) == {"wait_call": 1}


def test_a_failing_provider_is_replaced_by_the_other_and_then_not_asked(
    service: Service, failing: Service, simulator: Simulator
) -> None:
    """Each create asks both providers until the breaker of the failing one opens."""
    post(simulator, "faults", always={"kind": "status", "value": 500}, provider="smsru")
    made = [failing.create(f"+7999123{index:04}") for index in range(60)]

    assert {each.status for each in made} == {201}
    assert {digits(each.json) in SMSC_POOL for each in made} == {True}
    # Each of the two workers has its own breaker.
    assert BREAKER_FAILURES <= orders(simulator)["callcheck_add"] <= 2 * BREAKER_FAILURES
    assert orders(simulator)["wait_call"] == 60
    post(simulator, "dial", cli="+79991230000", did=made[0].json["call"]["number"])
    assert failing.read(made[0].json["id"], wait=5).json["status"] == "verified"


def test_a_hanging_provider_costs_only_its_own_budget(
    service: Service, failing: Service, simulator: Simulator
) -> None:
    post(simulator, "faults", always={"kind": "hang"}, provider="smsru")

    made = together(8, lambda index: failing.create(f"+7999124{index:04}"))

    assert Counter(each.status for each in made if not isinstance(each, Exception)) == {201: 8}
    assert orders(simulator) == {"callcheck_add": 8, "wait_call": 8}


def test_a_lost_report_is_found_by_the_worker(
    service: Service, simulator: Simulator, redis_server: Server, tmp_path: Path
) -> None:
    worker = launch_worker(service, tmp_path)
    try:
        made = service.create().json
        post(simulator, "dial", cli=NUMBER, did=made["call"]["number"], lose=True)
        assert service.read(made["id"]).json["status"] == "pending"

        with redis_server.client() as client:
            # The worker asks about an order 20 s after it was made. This makes it due at once.
            (order,) = client.zrange(orders_to_ask("smsru"), 0, -1)
            client.zadd(orders_to_ask("smsru"), {order: 0}, xx=True)
        wait_for(lambda: service.read(made["id"]).json["status"] == "verified")

        reconciled = 'waitcall_inbox_calls_total{outcome="confirmed"}'
        wait_for(lambda: worker.metrics().get(reconciled) == 1)
    finally:
        worker.stop()


def test_forged_reports_are_refused(service: Service, simulator: Simulator) -> None:
    rejected, unmatched = (
        ("waitcall_callbacks_total", f'outcome="{outcome}"') for outcome in ("bad_signature", "unmatched")
    )
    before = service.total(*rejected), service.total(*unmatched)
    made = service.create().json
    entry = f"callcheck_status\n{next(iter(simulator.callcheck.checks))}\n401\n{int(simulator.clock())}"
    for forged in (
        batch(SmsruAccount("guessed-api-id-0000", "http://x/"), [entry]),
        batch(SmsruAccount("", "http://x/"), [entry]),
        urllib.request.Request("http://x/", data=urllib.parse.urlencode({"data[0]": entry}).encode()),
        urllib.request.Request("http://x/", data=b"hash=&data[0]=" + b"x" * 100),
        urllib.request.Request("http://x/", data=json.dumps({"data": [entry]}).encode()),
    ):
        assert send(service, forged)[0] == 403
    # A correctly signed callback of the other provider is accepted, but proves nothing about this number.
    assert service.call(NUMBER.removeprefix("+"), int(simulator.clock())).status == 200

    assert service.read(made["id"]).json["status"] == "pending"
    assert (service.total(*rejected), service.total(*unmatched)) == (before[0] + 5, before[1] + 1)


def test_a_captured_batch_proves_nothing_later(service: Service, simulator: Simulator) -> None:
    made = service.create().json
    post(simulator, "dial", cli=NUMBER, did=made["call"]["number"])
    captured = next(each for each in simulator.exchange.ledger if each.get("kind") == "callcheck")["body"]
    assert service.consume(made["id"]).status == 200

    def replay() -> tuple[int, str]:
        return send(service, urllib.request.Request("http://x/", data=captured.encode()))

    assert replay() == (200, "100")
    later = wait_for_new(service)
    assert replay() == (200, "100")
    assert service.read(later["id"]).json["status"] == "pending"


def wait_for_new(service: Service) -> Any:
    """Create a new verification. The cooldown does not hold the same requester back."""
    made = service.create()
    assert made.status == 201, made.body
    return made.json


def test_a_report_that_could_not_be_kept_is_asked_for_again(
    service: Service, simulator: Simulator, redis_server: Server
) -> None:
    made = service.create().json
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        told = post(simulator, "dial", cli=NUMBER, did=made["call"]["number"])
        assert [each["status"] for each in told["sent"]] == [503]
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    body = next(each for each in simulator.exchange.ledger if each.get("kind") == "callcheck")["body"]

    def again() -> bool:
        return send(service, urllib.request.Request("http://x/", data=body.encode())) == (200, "100")

    wait_for(again)
    assert service.read(made["id"], wait=5).json["status"] == "verified"


def test_the_provider_can_check_that_the_handler_is_up(service: Service) -> None:
    answer = service.ask("GET", f"{service.callback}/callbacks/smsru")
    assert (answer.status, answer.body) == (200, b"100")


def test_without_the_provider_there_is_no_handler(starting: Starting) -> None:
    plain = starting(callback_port=str(free_port()))
    assert plain.ask("GET", f"{plain.callback}/callbacks/smsru").status == 404


def test_secrets_and_numbers_stand_in_no_log_line(service: Service, simulator: Simulator) -> None:
    made = service.create().json
    post(simulator, "faults", always={"kind": "error", "value": 201}, provider="smsru")
    service.create("+79991234568")
    post(simulator, "dial", cli=NUMBER, did=made["call"]["number"])
    assert service.read(made["id"], wait=5).json["status"] == "verified"
    text = service.log.read_text()
    for secret in (API_ID, SECRET, NUMBER.removeprefix("+"), "79991234568"):
        assert secret not in text
