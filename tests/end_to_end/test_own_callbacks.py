"""Calls to our own numbers with gunicorn and Valkey: each dialect, at once, forged, rotated, and without the store."""

import json
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import Answered, Service, answers, launch
from tests.making import together
from tests.own_calls import CALLER, DIALLED, Report
from tests.own_doors import DOORS, SIP, TEXML, TWILIO, Door
from tests.redis_servers import Server, wait_for

pytestmark = pytest.mark.slow

NUMBERS = {"twilio": DIALLED, "telnyx": "+12025550143", "sip": "+12025550144"}
POLICY = """
dial_regions = ["US"]
[purposes.login]
[clients.web]
purposes = ["login"]
[limits]
number = []
number_total = []
ip = []
[routing]
default = ["own"]
[own_numbers]
cooldown_seconds = 1200
""" + "".join(f'{dialect} = ["{number}"]\n' for dialect, number in NUMBERS.items())
ids = count(1)


@pytest.fixture(scope="module")
def service(
    redis_server: Server, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    settings = TWILIO.settings | TEXML.settings | SIP.settings
    running = launch(tmp_path_factory.mktemp("own"), redis_server, simulator, settings, POLICY)
    wait_for(lambda: answers(running, "readyz"))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def fresh(redis_server: Server) -> None:
    with redis_server.client() as client:
        client.flushall()


@pytest.fixture(params=DOORS, ids=[each.name for each in DOORS])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


def shown_at(service: Service, door: Door) -> str:
    """Create verifications until one shows the door's number. There are three, and none is shown twice."""
    for _ in NUMBERS:
        made = service.create(CALLER).json
        if made["call"]["number"] == NUMBERS[door.dialect]:
            return str(made["id"])
        service.ask("DELETE", f"{service.api}/v1/verifications/{made['id']}")
    raise AssertionError


def report(door: Door, call_id: str = "", **changed: object) -> Report:
    given = {"dialled": NUMBERS[door.dialect]} | changed
    return door.report(call_id or str(next(ids)), int(time.time()), **given)


def send(service: Service, door: Door, sent: Report) -> Answered:
    request = urllib.request.Request(
        f"{service.callback}{door.path.decode()}", data=sent.body, headers=sent.headers, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return Answered(response.status, response.read(), dict(response.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answered(error.code, error.read(), dict(error.headers))


def status(service: Service, verification_id: str) -> str:
    return str(service.read(verification_id).json["status"])


def test_a_call_verifies_and_the_answer_refuses_it(service: Service, door: Door) -> None:
    made = shown_at(service, door)

    answer = send(service, door, report(door))

    assert (answer.status, answer.headers["Content-Type"], answer.body) == door.answer
    read = service.read(made, wait=5).json
    assert (read["status"], read["assurance"]) == ("verified", "network")
    assert service.consume(made).status == 200


def test_a_report_sent_twenty_times_at_once_counts_once(service: Service, door: Door) -> None:
    confirmed, repeated = (
        ("waitcall_callbacks_total", f'outcome="{each}"') for each in ("confirmed", "repeated")
    )
    before = service.total(*confirmed), service.total(*repeated)
    made, sent = shown_at(service, door), report(door)

    given = together(20, lambda _: send(service, door, sent))

    assert Counter(each.status for each in given if isinstance(each, Answered)) == {door.answer[0]: 20}
    assert status(service, made) == "verified"
    assert (service.total(*confirmed), service.total(*repeated)) == (before[0] + 1, before[1] + 19)


def test_forged_reports_are_refused_and_the_next_secret_is_accepted(service: Service, door: Door) -> None:
    made, sound = shown_at(service, door), report(door)
    forged = [
        Report(sound.body, {"Content-Type": sound.headers["Content-Type"]}),
        Report(sound.body.replace(b"0123", b"0124"), sound.headers),
        Report(sound.body + b" ", sound.headers),
    ]
    assert [send(service, door, each).status for each in forged] == [403] * 3
    assert status(service, made) == "pending"
    assert send(service, door, report(door, secret=door.other)).status == door.answer[0]
    assert status(service, made) == "verified"


def test_without_the_store_no_call_is_refused_and_the_next_try_counts(
    service: Service, door: Door, redis_server: Server
) -> None:
    made, sent = shown_at(service, door), report(door)
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        answer = send(service, door, sent)
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "store_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert b"Reject" not in answer.body

    wait_for(lambda: send(service, door, sent).status == door.answer[0])
    assert status(service, made) == "verified"


def test_the_address_that_a_request_names_changes_nothing_for_twilio(service: Service) -> None:
    """The signature covers the configured URL, whatever Host says."""
    made, sent = shown_at(service, TWILIO), report(TWILIO)
    sent.headers |= {"Host": "evil.example", "X-Forwarded-Proto": "http"}
    assert send(service, TWILIO, sent).status == 200
    assert status(service, made) == "verified"
