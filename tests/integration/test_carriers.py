"""Reports of the simulator's carriers to a waitcall that is away at first: the retry or the fallback still verifies."""

import base64
import urllib.request
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from development.ports import free_port
from simulator.own_numbers import SIP_PAUSE_SECONDS, TELNYX_PAUSE_SECONDS, Call, Trunk, report
from tests.integration.conftest import Running
from tests.own_calls import CALLER, SIP_SECRET, TWILIO_ACCOUNT, TWILIO_TOKEN, TWILIO_URL
from tests.own_doors import CALL_CONTROL, SIP, TEXML, TWILIO
from tests.wsgi import ask

SEED = base64.b64encode(bytes(range(32))).decode()
RETRIED = f"{TWILIO_URL}#rc=3&rp=all"
OTHER = "https://other.example.org"
CASES = {
    "twilio, retried": (TWILIO, "twilio", RETRIED, "", 3),
    "twilio, fallback": (TWILIO, "twilio", f"{TWILIO_URL}#rc=0", TWILIO_URL, 1),
    "call control, retried": (CALL_CONTROL, "telnyx", f"{OTHER}/callbacks/telnyx", "", 2),
    "call control, failover": (CALL_CONTROL, "telnyx", OTHER, f"{OTHER}/callbacks/telnyx", 3),
    "texml, retried": (TEXML, "texml", f"{OTHER}/callbacks/telnyx", "", 2),
    "texml, failover": (TEXML, "texml", OTHER, f"{OTHER}/callbacks/telnyx", 3),
    "sip": (SIP, "sip", f"{OTHER}/callbacks/sip", "", 5),
}
PAUSES = {
    "twilio": [],
    "telnyx": [TELNYX_PAUSE_SECONDS],
    "texml": [TELNYX_PAUSE_SECONDS],
    "sip": [SIP_PAUSE_SECONDS],
}


class Carrier:
    """Sends requests to a waitcall without its store at first, then to one that is back."""

    def __init__(self, away: Running, back: Running, failures: int, path: bytes) -> None:
        self.away, self.back, self.failures, self.path = away, back, failures, path
        self.paused: list[float] = []

    def send(self, request: urllib.request.Request) -> tuple[int | None, str]:
        target = self.away if self.failures else self.back
        self.failures = max(self.failures - 1, 0)
        assert isinstance(request.data, bytes)
        answer = ask(target.callback, "POST", self.path, dict(request.header_items()), request.data)
        return answer.status, answer.body.decode()


@pytest.mark.parametrize("name", CASES)
def test_a_waitcall_that_is_back_gets_the_report_and_verifies(
    starting: Callable[..., Running], name: str
) -> None:
    door, dialect, handler, fallback, failures = CASES[name]
    settings = door.settings | ({"WAITCALL_TWILIO_URL": handler} if dialect == "twilio" else {})
    lost = f"redis://127.0.0.1:{free_port()}/0"
    away = starting(door.policy, **settings, WAITCALL_REDIS_URL=lost)
    back = starting(door.policy, **settings)
    made = back.create(phone_number=CALLER, purpose="strict").get_json()
    secret = {"twilio": TWILIO_TOKEN, "sip": SIP_SECRET}.get(dialect, SEED)
    number = made["call"]["number"].lstrip("+")
    trunk = Trunk(dialect, (number,), handler, secret, TWILIO_ACCOUNT, fallback)
    carrier = Carrier(away, back, failures, door.path)

    heard, entries = report(
        trunk,
        Call(CALLER.lstrip("+"), number, back.clock().timestamp(), "A"),
        carrier.send,
        carrier.paused.append,
    )

    assert [each["status"] for each in entries] == [503] * failures + [door.answer[0]]
    assert [each["url"] for each in entries] == [handler] * failures + [fallback or handler]
    assert heard == "busy"
    assert carrier.paused == PAUSES[dialect] * failures
    assert back.get(f"/v1/verifications/{made['id']}").get_json()["status"] == "verified"


@pytest.mark.parametrize(
    ("fragment", "answer", "attempts"),
    [
        ("", (None, "ConnectionRefusedError"), 2),
        ("", (None, "TimeoutError"), 1),
        ("", (503, ""), 1),
        ("#rc=0", (None, "ConnectionRefusedError"), 1),
        ("#rc=3&rp=5xx", (503, ""), 4),
        ("#rc=3&rp=4xx,rt", (503, ""), 1),
        ("#rc=2&rp=all", (None, "TimeoutError"), 3),
        ("#rc=2&rp=all", (200, "no TwiML"), 1),
    ],
)
def test_twilio_repeats_a_webhook_as_its_overrides_say_then_asks_the_fallback(
    fragment: str, answer: tuple[int | None, str], attempts: int
) -> None:
    trunk = Trunk("twilio", ("12025550142",), f"{TWILIO_URL}{fragment}", TWILIO_TOKEN, TWILIO_ACCOUNT, OTHER)

    heard, entries = report(trunk, Call("12025550123", "12025550142", 0.0), lambda _: answer, lambda _: None)

    assert [urlsplit(each["url"]).netloc for each in entries] == ["verify.example.org"] * attempts + [
        "other.example.org"
    ]
    told = parse_qs(entries[-1]["body"])
    assert told["ErrorUrl"] == [trunk.handler]
    assert told["ErrorCode"] == ["11205" if answer[0] is None else "11200"]
    assert heard == "answered"


def test_a_forwarded_call_of_texml_says_so(starting: Callable[..., Running]) -> None:
    running = starting(TEXML.policy, **TEXML.settings)
    made = running.create(phone_number=CALLER).get_json()
    number = made["call"]["number"].lstrip("+")
    carrier = Carrier(running, running, 0, TEXML.path)
    call = Call(CALLER.lstrip("+"), number, running.clock().timestamp(), "A", forwarded_from="+12025550199")

    report(Trunk("texml", (number,), OTHER, SEED), call, carrier.send)

    read = running.get(f"/v1/verifications/{made['id']}").get_json()
    assert (read["status"], read["assurance"]) == ("verified", "asserted")
