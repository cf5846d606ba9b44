"""Test the Python client, blocking and asyncio, against the real service and against the double for tests."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from inspect import iscoroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from waitcall_client import (
    AsyncWaitcall,
    Ended,
    Problem,
    StillPending,
    Unreachable,
    Waitcall,
    WebhookRejected,
    Webhooks,
    problems,
)
from waitcall_client.testing import Double, FixedOutcome

from development.client import class_of, written
from simulator.server import Simulator
from tests.end_to_end.conftest import KEY, ROOT, Service, launch
from tests.end_to_end.conftest import answers as ready
from tests.redis_servers import Server, free_port, wait_for
from waitcall.adapters.http.answers import VerificationResponse
from waitcall.adapters.http.problems import STATUS_OF

pytestmark = pytest.mark.slow

POLICY = """
dial_regions = ["RU"]
[purposes.login]
channels = ["call", "code"]
test_numbers = true
[purposes.other]
[clients.web]
purposes = ["login", "other"]
hosted = {return_origins = ["https://login.example.org"]}
[limits]
number = []
[test_numbers]
"+12025550101" = {outcome = "verified", delay_seconds = 1, code = "000123"}
"+12025550105" = {outcome = "verified", code = "000123"}
"+12025550102" = {outcome = "expired", delay_seconds = 1}
"+12025550103" = {outcome = "contested", delay_seconds = 1}
"+12025550104" = {outcome = "failed", delay_seconds = 1}
"""
FIXED = {
    "+12025550101": FixedOutcome("verified", 1, code="000123"),
    "+12025550105": FixedOutcome("verified", code="000123"),
    "+12025550102": FixedOutcome("expired", 1),
    "+12025550103": FixedOutcome("contested", 1),
    "+12025550104": FixedOutcome("failed", 1),
}
BACK = "https://login.example.org/phone"
UNKNOWN = f"ver_{'0' * 64}"
DOUBLES = ("double", "double-async")


class Blocking:
    """Blocking wrapper of the asyncio client."""

    def __init__(self, client: AsyncWaitcall) -> None:
        self._client = client
        # The client has a thread of its own, because an event loop may already run in this one.
        self._thread = ThreadPoolExecutor(1)
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            return self._thread.submit(self._run, getattr(self._client, name), args, kwargs).result()

        return run

    def _run(self, act: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = act(*args, **kwargs)
        return self._runner.run(made) if iscoroutine(made) else made

    def close(self) -> None:
        self.aclose()
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()


@dataclass
class Stage:
    """A client of the real service or of the double, and a person with a phone."""

    client: Any
    call: Callable[[str], None]
    code: Callable[[str], str]
    numbers: Iterator[str]
    pass_time: Callable[[float], None]
    """Moves the double's clock. The real service needs no help, because its reads wait."""

    def begin(self, **fields: Any) -> Any:
        return self.client.start(next(self.numbers), **({"purpose": "login", "reference": "flow"} | fields))


@pytest.fixture(scope="module")
def service(
    redis_server: Server, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    public = {"WAITCALL_PUBLIC_URL": "https://verify.example.org"}
    running = launch(tmp_path_factory.mktemp("client"), redis_server, simulator, public, POLICY)
    wait_for(lambda: ready(running, "readyz"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def numbers() -> Iterator[str]:
    return (f"+7999555{index:04}" for index in range(10000))


def dial(simulator: Simulator, cli: str) -> None:
    did, _ = simulator.exchange.orders[cli.removeprefix("+")]
    request = urllib.request.Request(
        f"{simulator.control_url}/dial",
        data=json.dumps({"cli": cli, "did": did}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()


def texted(simulator: Simulator, cli: str) -> str:
    latest = [each.text for each in simulator.office.sent if each.phone == cli.removeprefix("+")][-1]
    return "".join(filter(str.isdigit, latest))


@pytest.fixture(
    params=[*(pytest.param(each, marks=pytest.mark.everyday) for each in DOUBLES), "real", "real-async"]
)
def stage(request: pytest.FixtureRequest, numbers: Iterator[str]) -> Iterator[Stage]:
    _, _, how = request.param.partition("-")
    if request.param in DOUBLES:
        double = Double(test_numbers=FIXED)
        client: Any = Blocking(double.async_client()) if how else double.client()
        stage = Stage(client, double.call, double.code, numbers, double.advance)
    else:
        service, simulator = (request.getfixturevalue(name) for name in ("service", "simulator"))
        client = Blocking(AsyncWaitcall(service.api, KEY)) if how else Waitcall(service.api, KEY)
        stage = Stage(
            client,
            lambda cli: dial(simulator, cli),
            lambda cli: texted(simulator, cli),
            numbers,
            lambda _: None,
        )
    yield stage
    client.close()


def test_a_call_verifies_and_is_redeemed_once(stage: Stage) -> None:
    made = stage.begin(locale="ru", metadata={"a": "b"}, window_seconds=60)
    assert (made.status, made.created, made.is_pending) == ("pending", True, True)
    assert made.call.uri == f"tel:{made.call.number}"
    assert (made.metadata, made.next_channel) == ({"a": "b"}, "code")
    # ``expires_in`` counts down while the answer is on its way. The window itself is exact.
    assert made.expires_at - made.created_at == timedelta(seconds=60)
    assert 50 < made.expires_in <= 60
    assert made.expires_at.tzinfo is not None

    stage.call(made.phone_number)
    verified = stage.client.wait_until_verified(made.id, timeout_seconds=10)

    assert (verified.is_verified, verified.reason) == (True, "call_matched")
    consumed = stage.client.consume(made.id, purpose="login", reference="flow")
    assert consumed.status == "consumed"
    with pytest.raises(problems.AlreadyConsumed) as refused:
        stage.client.consume(made.id, purpose="login", reference="flow")
    assert (refused.value.status, refused.value.code) == (409, "already_consumed")


def test_a_proof_is_bound_to_what_it_was_made_for(stage: Stage) -> None:
    made = stage.begin()
    with pytest.raises(problems.NotVerified):
        stage.client.consume(made.id, purpose="login", reference="flow")
    stage.call(made.phone_number)
    with pytest.raises(problems.PurposeMismatch):
        stage.client.consume(made.id, purpose="other", reference="flow")
    with pytest.raises(problems.ReferenceMismatch):
        stage.client.consume(made.id, purpose="login", reference="another")
    with pytest.raises(problems.ReferenceMismatch):
        stage.client.consume(made.id, purpose="login")
    with pytest.raises(problems.ResultMismatch):
        stage.client.consume(made.id, purpose="login", reference="flow", result="0" * 32)
    assert stage.client.consume(made.id, purpose="login", reference="flow").status == "consumed"


def test_the_same_requester_gets_the_live_one_and_others_are_told_to_wait(stage: Stage) -> None:
    made = stage.begin()
    again = stage.client.start(made.phone_number, purpose="login", reference="flow")
    assert (again.id, again.created) == (made.id, False)
    with pytest.raises(problems.VerificationInProgress) as refused:
        stage.client.start(made.phone_number, purpose="login", reference="another")
    assert 0 < refused.value.retry_after <= 900


def test_two_creates_with_one_idempotency_key_make_one_verification(stage: Stage) -> None:
    number = next(stage.numbers)
    asked = {"purpose": "login", "idempotency_key": f"key-{number}"}
    assert stage.client.start(number, **asked).id == stage.client.start(number, **asked).id


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("+12025550102", "no_call"),
        ("+12025550103", "concurrent_request"),
        ("+12025550104", "provider_error"),
    ],
)
def test_a_test_number_has_a_fixed_outcome(stage: Stage, number: str, reason: str) -> None:
    made = stage.client.start(number, purpose="login", reference=f"flow-{next(stage.numbers)}")
    assert (made.test, made.status) == (True, "pending")
    assert made.call.number == number
    stage.pass_time(1)
    ended = stage.client.read(made.id, wait_seconds=5)
    assert (ended.test, ended.status, ended.reason) == (True, FIXED[number].outcome, reason)
    with pytest.raises(Problem) as refused:
        stage.client.consume(made.id, purpose="login", reference=made.reference)
    assert refused.value.code in {"expired", "contested", "not_verified"}
    if ended.status == "contested":
        assert stage.client.cancel(made.id).status == "canceled"


def test_a_test_number_is_verified_and_consumed(stage: Stage) -> None:
    made = stage.client.start("+12025550101", purpose="login", reference="flow")
    stage.pass_time(1)
    assert stage.client.wait_until_verified(made.id, timeout_seconds=5).test
    consumed = stage.client.consume(made.id, purpose="login", reference="flow")
    assert (consumed.status, consumed.test, consumed.reason) == ("consumed", True, "call_matched")
    real = stage.begin()
    assert real.test is False


def test_a_test_number_takes_its_fixed_code_only(stage: Stage) -> None:
    made = stage.client.start("+12025550105", purpose="login", reference="flow", channel="code")
    with pytest.raises(problems.CodeMismatch):
        stage.client.check(made.id, "000124")
    checked = stage.client.check(made.id, "000123")
    assert (checked.status, checked.reason, checked.test) == ("verified", "code_matched", True)


def test_a_fallback_to_a_code_verifies(stage: Stage) -> None:
    made = stage.begin()
    moved = stage.client.fall_back(made.id)
    assert (moved.channel, moved.call, moved.assurance) == ("code", None, "roundtrip")
    assert (moved.code.digits, moved.code.attempts_left, moved.code.sends_left) == (6, 5, 3)
    with pytest.raises(problems.RateLimited) as early:
        stage.client.resend(made.id)
    assert 0 < early.value.retry_after <= 30
    assert stage.client.read(made.id, wait_seconds=20, channel="call").channel == "code"
    code = stage.code(made.phone_number)
    wrong = f"{(int(code) + 1) % 10**6:06}"

    with pytest.raises(problems.CodeMismatch) as mismatch:
        stage.client.check(made.id, wrong)

    assert mismatch.value.errors == {"code": ["Wrong. Attempts left: 4."]}
    assert stage.client.check(made.id, code).is_verified
    with pytest.raises(problems.AlreadyVerified):
        stage.client.check(made.id, wrong)
    assert stage.client.consume(made.id, purpose="login", reference="flow").status == "consumed"


def test_wrong_codes_are_counted(stage: Stage) -> None:
    made = stage.begin(channel="code")
    wrong = f"{(int(stage.code(made.phone_number)) + 1) % 10**6:06}"
    for _ in range(5):
        with pytest.raises(problems.CodeMismatch):
            stage.client.check(made.id, wrong)
    with pytest.raises(problems.AttemptsSpent):
        stage.client.check(made.id, stage.code(made.phone_number))
    assert stage.client.read(made.id).reason == "attempts_spent"


def test_a_request_that_does_not_apply_raises_its_problem(stage: Stage) -> None:
    made = stage.begin()
    with pytest.raises(problems.WrongChannel):
        stage.client.check(made.id, "000000")
    with pytest.raises(problems.WrongChannel):
        stage.client.resend(made.id)
    moved = stage.client.fall_back(made.id, channel="code")
    with pytest.raises(problems.NoFallback):
        stage.client.fall_back(moved.id, channel="call")
    assert stage.client.cancel(made.id).status == "canceled"
    assert stage.client.cancel(made.id).status == "canceled"
    with pytest.raises(problems.NoFallback):
        stage.client.fall_back(made.id)
    with pytest.raises(problems.NotPending):
        stage.client.fall_back(made.id, channel="call")
    with pytest.raises(problems.NotPending):
        stage.client.check(made.id, "000000")
    with pytest.raises(problems.NotVerified):
        stage.client.consume(made.id, purpose="login", reference="flow")
    for ask in (stage.client.read, stage.client.cancel):
        with pytest.raises(problems.NotFound):
            ask(UNKNOWN)


def test_waiting_ends_with_the_verification_or_with_the_time(stage: Stage) -> None:
    made = stage.begin()
    with pytest.raises(StillPending):
        stage.client.wait_until_verified(made.id, timeout_seconds=0.2)
    with pytest.raises(TimeoutError):
        stage.client.wait_until_verified(made.id, timeout_seconds=0)
    stage.client.cancel(made.id)
    with pytest.raises(Ended) as ended:
        stage.client.wait_until_verified(made.id, timeout_seconds=10)
    assert (ended.value.verification.status, str(ended.value)) == ("canceled", "canceled: by_client")


def test_a_hosted_verification_needs_its_result(stage: Stage) -> None:
    made = stage.begin(return_url=BACK)
    assert "/p/" in made.hosted_url
    stage.call(made.phone_number)
    with pytest.raises(problems.ResultMismatch):
        stage.client.consume(made.id, purpose="login", reference="flow")


@pytest.mark.parametrize("wrong", ["", "ver_1", "../operator", UNKNOWN + "0", UNKNOWN.upper()])
def test_a_malformed_id_is_refused_without_a_request(stage: Stage, wrong: str) -> None:
    with pytest.raises(ValueError, match="id"):
        stage.client.read(wrong)


# Tests with the real service alone


def test_a_call_ends_the_waiting_at_once(
    service: Service, simulator: Simulator, numbers: Iterator[str]
) -> None:
    with Waitcall(service.api, KEY) as client:
        made = client.start(next(numbers), purpose="login")
        caller = threading.Thread(target=dial, args=(simulator, made.phone_number))
        caller.start()
        assert client.wait_until_verified(made.id, timeout_seconds=20).is_verified
        caller.join()


def test_a_hosted_page_gives_the_result_that_redeems(
    service: Service, simulator: Simulator, numbers: Iterator[str]
) -> None:
    with Waitcall(service.api, KEY) as client, httpx.Client() as browser:
        made = client.start(next(numbers), purpose="login", return_url=BACK)
        assert made.hosted_url is not None
        page = made.hosted_url.replace("https://verify.example.org", service.callback)
        assert browser.get(page).status_code == 200
        dial(simulator, made.phone_number)
        client.wait_until_verified(made.id, timeout_seconds=10)
        result = httpx.URL(browser.get(page).headers["Location"]).params["result"]
        assert client.consume(made.id, purpose="login", result=result).status == "consumed"


class Losing(httpx.HTTPTransport):
    """Network that loses the first answer of each path after the service gave it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self.sent.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        if self.sent.count(self.sent[-1]) == 1:
            response.close()
            raise httpx.ReadError("lost", request=request)
        return response


def test_lost_answers_order_and_redeem_nothing_twice(
    service: Service, simulator: Simulator, numbers: Iterator[str]
) -> None:
    network, number = Losing(), next(numbers)
    with Waitcall(service.api, KEY, transport=network) as client:
        made = client.start(number, purpose="login")
        dial(simulator, number)
        assert client.read(made.id).is_verified
        assert client.consume(made.id, purpose="login").status == "consumed"
    assert len(network.sent) == 6
    orders = [
        each
        for each in simulator.exchange.ledger
        if each.get("endpoint") == "wait_call" and each["fields"]["phone"] == number.removeprefix("+")
    ]
    assert len(orders) == 1


def test_a_code_whose_answer_was_lost_is_not_checked_again(service: Service, numbers: Iterator[str]) -> None:
    network = Losing()
    with Waitcall(service.api, KEY, transport=network) as client:
        made = client.start(next(numbers), purpose="login", channel="code")
        with pytest.raises(Unreachable):
            client.check(made.id, "000000")
        assert network.sent.count("POST check") == 1
        code = client.read(made.id).code
        assert code is not None
        assert code.attempts_left >= 4


def test_a_service_that_is_not_there_is_unreachable() -> None:
    with Waitcall(f"http://127.0.0.1:{free_port()}", KEY, attempts=2) as client, pytest.raises(Unreachable):
        client.read(UNKNOWN)


def test_a_wrong_key_and_a_wrong_value_raise_their_problems(service: Service) -> None:
    with Waitcall(service.api, "wrong") as client, pytest.raises(problems.Unauthenticated):
        client.read(UNKNOWN)
    with Waitcall(service.api, KEY) as client:
        with pytest.raises(problems.InvalidPhoneNumber):
            client.start("12", purpose="login")
        with pytest.raises(problems.ValidationFailed) as refused:
            client.start("+79991234567", purpose="nothing")
        assert "purpose" in refused.value.errors
        assert refused.value.request_id


# Tests with the double alone


@pytest.mark.everyday
def test_the_double_loses_refuses_and_lets_time_pass() -> None:
    double = Double()
    client = double.client()
    double.lose_next()
    made = client.start("+79991234567", purpose="login")
    assert len(double.requests) == 2
    double.fail_next("store_unavailable", 503)
    assert client.read(made.id).is_pending
    double.fail_next("provider_unavailable", 503, retry_after=60)
    with pytest.raises(problems.ProviderUnavailable):
        client.read(made.id)
    double.call("+79991234567")
    double.lose_next()
    assert client.consume(made.id, purpose="login").status == "consumed"
    later = client.start("+79991234567", purpose="login", return_url=BACK)
    double.call("+79991234567")
    assert double.result(later.id)
    double.advance(300)
    with pytest.raises(problems.Expired):
        client.consume(later.id, purpose="login", result=double.result(later.id))
    last = client.start("+79991234567", purpose="login")
    double.advance(900)
    assert client.read(last.id).reason == "no_call"
    with pytest.raises(LookupError):
        double.code("+79991234567")


@pytest.mark.everyday
def test_a_check_whose_answer_was_lost_is_not_sent_again() -> None:
    double = Double()
    client = double.client()
    made = client.start("+79991234567", purpose="login", channel="code")
    double.lose_next()
    with pytest.raises(Unreachable):
        client.check(made.id, double.code("+79991234567"))
    assert len(double.requests) == 2


@pytest.mark.everyday
def test_after_a_weak_call_the_double_stays_pending_and_offers_the_next_channel() -> None:
    double = Double()
    client = double.client()
    made = client.start("+79991234567", purpose="login")
    double.call("+79991234567", weak=True)
    read = client.read(made.id)
    assert (read.is_pending, read.next_channel, read.weak_call_at) == (True, "code", made.created_at)
    assert client.fall_back(made.id).weak_call_at is None
    client.cancel(made.id)

    last = client.start("+79991234568", purpose="login")
    double.call("+79991234568", weak=True)
    double.advance(900)
    assert client.read(last.id).reason == "weak_call"


def test_the_double_answers_with_every_field_of_the_service() -> None:
    double = Double()
    made = double.client().start("+79991234567", purpose="login", channel="code")
    dumped = double._dumped(double._records[made.id])
    assert list(dumped) == list(VerificationResponse().fields)


# Generated files


@pytest.mark.everyday
def test_every_code_has_its_exception() -> None:
    codes = set(STATUS_OF) - {"bad_signature"}
    assert set(Problem.known) == codes
    table = (ROOT / "clients/python/PROBLEMS.md").read_text()
    for code, kind in Problem.known.items():
        assert kind is getattr(problems, class_of(code))
        assert issubclass(kind, Problem)
        assert f"| {STATUS_OF[code]} | `{code}` | `{kind.__name__}` |" in table
    unknown = httpx.MockTransport(lambda _: httpx.Response(418, json={"code": "teapot", "detail": "x"}))
    with Waitcall("http://x", KEY, transport=unknown) as client, pytest.raises(Problem) as raised:
        client.read(UNKNOWN)
    assert (type(raised.value), raised.value.code) == (Problem, "teapot")


@pytest.mark.everyday
def test_generated_files_are_what_would_be_generated() -> None:
    for path, text in written().items():
        assert path.read_text() == text, f"make client: {path.name}"


@pytest.mark.everyday
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"id": 1}', b'{"detail": "x"}'])
@pytest.mark.parametrize("status", [200, 404, 502])
def test_an_answer_that_is_not_from_waitcall_is_unreachable(status: int, body: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    with Waitcall("http://x", KEY, transport=transport, attempts=1) as client, pytest.raises(Unreachable):
        client.read(UNKNOWN)


# Webhooks

SECRET, OTHER = "whsec_" + "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "whsec_" + "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGg="
EVENT = {
    "type": "verification.verified",
    "timestamp": "2026-01-01T12:00:00Z",
    "data": {
        "id": UNKNOWN,
        "status": "verified",
        "reason": "call_matched",
        "purpose": "login",
        "reference": None,
    },
}


def signed(body: str, secret: str = SECRET, age: float = 0) -> dict[str, str]:
    import datetime as dt  # noqa: PLC0415

    at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age)
    signature = Webhook(secret).sign("msg_1", at, body)
    return {
        "Webhook-Id": "msg_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": signature,
    }


@pytest.mark.everyday
@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_an_event_is_read(secret: str) -> None:
    body = json.dumps(EVENT)
    event = Webhooks([SECRET, OTHER]).read(body.encode(), signed(body, secret))
    assert (event.id, event.type, event.verification_id) == ("msg_1", "verification.verified", UNKNOWN)
    assert event.at.year == 2026


@pytest.mark.everyday
def test_a_forged_old_or_malformed_event_is_refused() -> None:
    body = json.dumps(EVENT)
    webhooks = Webhooks([SECRET])
    for given, headers in (
        (body + " ", signed(body)),
        (body, signed(body, OTHER)),
        (body, signed(body, age=3600)),
        (body, {}),
        (body, signed(body) | {"Webhook-Id": "msg_2"}),
        ("[]", signed("[]")),
        ("x", signed("x")),
    ):
        with pytest.raises(WebhookRejected):
            webhooks.read(given.encode(), headers)
    with pytest.raises(ValueError, match="secret"):
        Webhooks([])


def test_the_wheel_holds_the_package_and_its_types(tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    build = [uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*build, "--out-dir", tmp_path, ROOT / "clients/python"], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("waitcall_client-*.whl")
    target = tmp_path / "there"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    assert (target / "waitcall_client/py.typed").exists()
    script = "import waitcall_client, waitcall_client.testing as t; print(waitcall_client.__file__); t.Double().client()"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith(str(target))
