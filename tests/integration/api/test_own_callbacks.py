"""Calls to our own numbers through each of the three routes: what verifies, what does not, and the answer to each."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from development.ports import free_port
from tests.integration.conftest import OPERATOR_KEY, Running
from tests.own_calls import CALLER, DIALLED, FORM, JSON, TWILIO_CALL, Report, twilio
from tests.own_doors import CALL_CONTROL, DOORS, OTHER_NUMBER, SIP, TEXML, TWILIO, Door
from tests.wsgi import Answer, ask

FOREIGN = {"twilio": "e" * 32, "telnyx": Ed25519PrivateKey.from_private_bytes(bytes(32)), "sip": "e" * 32}


class Standing:
    """A running service with the numbers of one door."""

    def __init__(self, running: Running, door: Door) -> None:
        self.running, self.door = running, door

    @property
    def now(self) -> int:
        return int(self.running.clock().timestamp())

    def create(self, **fields: Any) -> Any:
        made = self.running.create(phone_number=CALLER, **fields)
        assert made.status_code == 201, made.get_json()
        return made.get_json()

    def send(self, report: Report, path: bytes = b"") -> Answer:
        return ask(self.running.callback, "POST", path or self.door.path, report.headers, report.body)

    def call(self, call_id: str = "1", **changed: Any) -> Answer:
        return self.send(self.door.report(call_id, self.now, **changed))

    def status(self, made: Any) -> str:
        found: str = self.running.get(f"/v1/verifications/{made['id']}").get_json()["status"]
        return found

    def counted(self, outcome: str, kind: str = "call") -> float:
        series = f'waitcall_callbacks_total{{kind="{kind}",outcome="{outcome}"}}'
        return self.running.metrics().get(series, 0)


@pytest.fixture(params=DOORS, ids=[each.name for each in DOORS])
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


@pytest.fixture
def standing(starting: Callable[..., Running], door: Door) -> Standing:
    return Standing(starting(door.policy, **door.settings), door)


def document(answer: Answer) -> tuple[int, str, bytes]:
    return answer.status, answer.headers["Content-Type"], answer.body


def other_than(number: str) -> str:
    return OTHER_NUMBER if number == DIALLED else DIALLED


def test_a_call_to_the_number_shown_verifies_and_is_refused(standing: Standing, door: Door) -> None:
    made = standing.create()

    answer = standing.call(dialled=made["call"]["number"])

    assert document(answer) == door.answer
    read = standing.running.get(f"/v1/verifications/{made['id']}").get_json()
    assert (read["status"], read["assurance"]) == ("verified", "network")
    assert standing.counted("confirmed") == 1


def test_a_call_that_no_network_vouches_for_is_asserted(standing: Standing, door: Door) -> None:
    made = standing.create()
    assert document(standing.call(dialled=made["call"]["number"], vouched=False)) == door.answer
    read = standing.running.get(f"/v1/verifications/{made['id']}").get_json()
    assert (read["status"], read["assurance"]) == ("verified", "asserted")

    standing.running.clock.advance(60)
    strict = standing.create(purpose="strict")
    assert document(standing.call("2", dialled=strict["call"]["number"], vouched=False)) == door.answer
    assert standing.status(strict) == "pending"


def test_after_a_weak_call_the_answer_says_so_and_names_the_next_channel(standing: Standing) -> None:
    made = standing.create(purpose="strict")
    assert (made["weak_call_at"], made["next_channel"]) == (None, "code")
    called = standing.running.clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    standing.call(dialled=made["call"]["number"], vouched=False)

    read = standing.running.get(f"/v1/verifications/{made['id']}?wait=0").get_json()
    told = [read[name] for name in ("status", "reason", "assurance", "weak_call_at", "next_channel")]
    assert told == ["pending", None, "asserted", called, "code"]
    explained = standing.running.post(
        "/v1/operator/explain", {"phone_number": CALLER}, OPERATOR_KEY
    ).get_json()["verification"]
    assert (explained["provider"], explained["assurance"]) == ("own", "asserted")
    # Telnyx's event and the SIP proxy report no level here, the other two level B.
    assert explained["attestation"] in ("none", "B")
    assert explained["weak_call_at"] == called

    standing.call("2", dialled=made["call"]["number"])
    verified = standing.running.get(f"/v1/verifications/{made['id']}").get_json()
    assert (verified["status"], verified["assurance"]) == ("verified", "network")


def test_a_repeated_report_is_acknowledged_and_changes_nothing(standing: Standing, door: Door) -> None:
    made = standing.create()
    report = door.report("1", standing.now, dialled=made["call"]["number"])
    assert [document(standing.send(report)) for _ in range(3)] == [door.answer] * 3
    assert (standing.counted("confirmed"), standing.counted("repeated")) == (1, 2)


def test_a_later_stronger_report_of_the_same_call_still_verifies(standing: Standing, door: Door) -> None:
    made = standing.create(purpose="strict")
    number = made["call"]["number"]
    weak = door.report("1", standing.now, dialled=number, vouched=False)

    assert [document(standing.send(weak)) for _ in range(2)] == [door.answer] * 2
    assert standing.status(made) == "pending"
    assert document(standing.call(dialled=number)) == door.answer
    assert standing.status(made) == "verified"
    assert document(standing.send(weak)) == door.answer
    found = {each: standing.counted(each) for each in ("weak", "confirmed", "repeated", "wrong_number")}
    assert found == {"weak": 1, "confirmed": 1, "repeated": 2, "wrong_number": 0}


def test_a_report_from_before_the_number_was_shown_never_counts(standing: Standing, door: Door) -> None:
    """A captured report is sent again, when its caller has a verification with that number."""
    reports = [
        door.report(call_id, standing.now, dialled=number)
        for call_id, number in (("1", DIALLED), ("2", OTHER_NUMBER))
    ]
    assert [document(standing.send(each)) for each in reports] == [door.answer] * 2
    standing.running.clock.advance(10)
    made = standing.create()
    assert [document(standing.send(each)) for each in reports] == [door.answer] * 2
    assert standing.status(made) == "pending"
    assert standing.counted("repeated") == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"caller": "+12025550124"},
        {"caller": "+266696687"},
        {"caller": "+7378742833"},
        {"caller": "anonymous"},
        {"caller": ""},
        {"caller": DIALLED},
        {"dialled": "+12025550149"},
        {"dialled": "sip:a@x.example"},
        {"dialled": "other"},
    ],
)
def test_a_call_that_fits_no_verification_proves_nothing_and_is_refused(
    standing: Standing, door: Door, changed: dict[str, str]
) -> None:
    made = standing.create()
    shown = {"dialled": made["call"]["number"]}
    if changed == {"dialled": "other"}:
        changed = {"dialled": other_than(made["call"]["number"])}

    answer = standing.call(**shown | changed)

    assert document(answer) == door.answer
    assert standing.status(made) == "pending"
    assert standing.counted("confirmed") == 0
    assert standing.counted("unmatched") + standing.counted("wrong_number") == 1


def test_a_forged_report_is_refused_and_changes_nothing(standing: Standing, door: Door) -> None:
    made = standing.create()
    sound = door.report("1", standing.now, dialled=made["call"]["number"])
    forged = [
        door.report("1", standing.now, dialled=made["call"]["number"], secret=FOREIGN[door.dialect]),
        Report(sound.body, {"Content-Type": sound.headers["Content-Type"]}),
        Report(sound.body.replace(b"ringing", b"busy").replace(b"0123", b"0124"), sound.headers),
        Report(b"", sound.headers),
    ]
    answers = [standing.send(each) for each in forged]
    assert [(each.status, each.code) for each in answers] == [(403, "bad_signature")] * 4
    assert not any(b"Reject" in each.body for each in answers)
    assert standing.status(made) == "pending"
    assert standing.counted("bad_signature") == 4


def test_the_other_secret_is_accepted_while_rotating(standing: Standing, door: Door) -> None:
    made = standing.create()
    assert document(standing.call(dialled=made["call"]["number"], secret=door.other)) == door.answer
    assert standing.status(made) == "verified"


@pytest.mark.parametrize(
    ("method", "headers", "size", "status"),
    [
        ("GET", {}, 0, 405),
        ("PUT", {}, 0, 405),
        ("POST", {"Content-Type": "text/plain"}, 0, 415),
        ("POST", {"Content-Type": "multipart/form-data; boundary=x"}, 0, 415),
        ("POST", {"Content-Type": ""}, 0, 415),
        ("POST", {}, 65_537, 413),
        ("POST", {"Content-Length": "9999999"}, 0, 413),
    ],
)
def test_another_request_is_refused_before_its_signature_is_checked(
    standing: Standing, door: Door, method: str, headers: dict[str, str], size: int, status: int
) -> None:
    report = door.report("1", standing.now)
    body = report.body + b" " * max(size - len(report.body), 0)
    answer = ask(standing.running.callback, method, door.path, report.headers | headers, body)
    assert answer.status == status
    assert b"Reject" not in answer.body
    if status == 415:
        accepted = {"twilio": FORM, "sip": JSON}.get(door.dialect, f"{FORM} or {JSON}")
        assert json.loads(answer.body)["detail"] == f"Send {accepted}."


def test_without_the_store_a_report_is_asked_for_again_and_the_call_is_not_refused(
    starting: Callable[..., Running], door: Door
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    standing = Standing(starting(door.policy, **door.settings, WAITCALL_REDIS_URL=url), door)
    answer = standing.call()
    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert b"Reject" not in answer.body


def test_a_route_is_there_only_with_its_settings(standing: Standing, door: Door) -> None:
    for other in DOORS:
        answer = standing.send(other.report("1", standing.now), other.path)
        assert answer.status == (404 if other.dialect != door.dialect else other.answer[0])


def test_a_report_of_another_dialect_proves_nothing(starting: Callable[..., Running], door: Door) -> None:
    """The secret of one provider cannot report calls to numbers at another."""
    other = SIP if door.dialect != "sip" else TWILIO
    policy = door.policy + f'{other.dialect} = ["+12025550144"]\n'
    standing = Standing(starting(policy, **door.settings, **other.settings), door)
    made = standing.create()
    shown = made["call"]["number"]
    (liar,) = [each for each in (door, other) if (shown == "+12025550144") is (each is door)]
    answer = standing.send(liar.report("1", standing.now, dialled=shown), liar.path)
    assert document(answer) == liar.answer
    assert standing.status(made) == "pending"


@pytest.mark.parametrize(
    "report",
    [
        lambda now: SIP.report("1", now - 901),
        lambda now: SIP.report("1", now + 6),
    ],
)
def test_an_old_or_future_call_of_the_proxy_is_unprocessable(
    starting: Callable[..., Running], report: Callable[[int], Report]
) -> None:
    standing = Standing(starting(SIP.policy, **SIP.settings), SIP)
    answer = standing.send(report(standing.now))
    assert (answer.status, answer.code) == (422, "invalid_callback")
    assert standing.counted("malformed") == 1


def test_a_parameter_twice_is_malformed(starting: Callable[..., Running]) -> None:
    standing = Standing(starting(TWILIO.policy, **TWILIO.settings), TWILIO)
    report = TWILIO.report("1", standing.now)
    answer = standing.send(Report(report.body + b"&From=%2B12025550124", report.headers))
    assert (answer.status, answer.code) == (400, "invalid_request")


def test_the_report_on_the_end_stands_in_for_a_lost_first_one(starting: Callable[..., Running]) -> None:
    standing = Standing(starting(TWILIO.policy, **TWILIO.settings), TWILIO)
    made = standing.create()
    ended = twilio(TWILIO_CALL | {"CallStatus": "no-answer", "To": made["call"]["number"]})
    assert standing.send(ended).status == 200
    read = standing.running.get(f"/v1/verifications/{made['id']}").get_json()
    assert (read["status"], read["assurance"]) == ("verified", "asserted")
    first = twilio(TWILIO_CALL | {"To": made["call"]["number"]})
    assert standing.send(first).status == 200
    assert standing.counted("repeated") == 1


def test_the_report_on_the_end_does_not_use_the_call_up_for_the_first_one(
    starting: Callable[..., Running],
) -> None:
    standing = Standing(starting(TWILIO.policy, **TWILIO.settings), TWILIO)
    made = standing.create(purpose="strict")
    fields = TWILIO_CALL | {"To": made["call"]["number"]}
    assert standing.send(twilio(fields | {"CallStatus": "busy"})).status == 200
    assert standing.status(made) == "pending"
    assert standing.send(twilio(fields)).status == 200
    read = standing.running.get(f"/v1/verifications/{made['id']}").get_json()
    assert (read["status"], read["assurance"]) == ("verified", "network")


class Telnyx:
    """Telnyx's API on loopback, which answers every command with one status."""

    def __init__(self, status: int) -> None:
        told = self.told = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.append((self.path, self.headers["Authorization"], body))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"data":{"result":"ok"}}')

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,)).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(params=[200, 500])
def telnyx(request: pytest.FixtureRequest) -> Iterator[Telnyx]:
    running = Telnyx(request.param)
    yield running
    running.close()


def test_a_call_of_call_control_is_refused_by_a_command_after_it_is_recorded(
    starting: Callable[..., Running], telnyx: Telnyx
) -> None:
    api = {"WAITCALL_TELNYX_API_KEY": "KEY0123456789_abcdef", "WAITCALL_TELNYX_API_URL": telnyx.url}
    standing = Standing(starting(CALL_CONTROL.policy, **CALL_CONTROL.settings, **api), CALL_CONTROL)
    made = standing.create()
    number = made["call"]["number"]

    answers = [standing.call(dialled=number), standing.call("2", dialled=number, caller="+12025550124")]

    # A failure of the command changes neither the answer nor what the call proves.
    assert [document(each) for each in answers] == [CALL_CONTROL.answer] * 2
    assert standing.status(made) == "verified"
    command = ("/v2/calls/v3%3Acontrol-1/actions/reject", "Bearer KEY0123456789_abcdef")
    assert telnyx.told == [(*command, {"cause": "USER_BUSY", "command_id": "event-1"})] * 2
    # A call of TeXML is refused by the answer.
    assert document(standing.send(TEXML.report("3", standing.now))) == TEXML.answer
    assert len(telnyx.told) == 2


def test_no_command_is_sent_for_a_call_that_was_not_recorded(starting: Callable[..., Running]) -> None:
    telnyx = Telnyx(200)
    api = {"WAITCALL_TELNYX_API_KEY": "KEY0123456789_abcdef", "WAITCALL_TELNYX_API_URL": telnyx.url}
    away = {"WAITCALL_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    try:
        running = starting(CALL_CONTROL.policy, **CALL_CONTROL.settings, **api, **away)
        assert Standing(running, CALL_CONTROL).call().status == 503
    finally:
        telnyx.close()
    assert telnyx.told == []
