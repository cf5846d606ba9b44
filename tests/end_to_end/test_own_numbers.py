"""`make run POLICY=examples/own_numbers.toml`: numbers of one's own, with the simulator as the carrier."""

import json
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from development.ports import Ports
from development.stack import API_KEY, Stack
from waitcall.configuration.policy import read_policy
from waitcall.domain.channel import Dialect, Provider
from waitcall.domain.numbers import E164

pytestmark = pytest.mark.slow

POLICY = Path(__file__).resolve().parents[2] / "examples/own_numbers.toml"
DIALECTS = read_policy(str(POLICY)).own_numbers.dialects


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(Ports.free(), {"WAITCALL_POLICY": str(POLICY)}) as running:
        yield running


def ask(url: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    body = json.dumps(document).encode() if document is not None else None
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def start(stack: Stack, phone: str, purpose: str = "login") -> dict[str, Any]:
    asked = {"phone_number": phone, "purpose": purpose, "reference": f"flow-of-{phone}"}
    return ask(f"{stack.api}/v1/verifications", asked)


def read(stack: Stack, made: dict[str, Any]) -> dict[str, Any]:
    return ask(f"{stack.api}/v1/verifications/{made['id']}")


def dial(stack: Stack, made: dict[str, Any], **more: object) -> dict[str, Any]:
    call = {"cli": made["phone_number"], "did": made["call"]["number"]} | more
    return ask(f"{stack.control}/dial", call)


def test_no_account_of_a_provider_is_used(stack: Stack) -> None:
    policy = read_policy(str(POLICY))
    assert policy.providers == {Provider.OWN}
    made = start(stack, "+79991112233")
    assert DIALECTS[E164(made["call"]["number"])] is Dialect.SIP
    ordered = [each for each in ask(f"{stack.control}/ledger")["ledger"] if each["door"] == "front"]
    assert ordered == [], "nothing was ordered at the providers"


def test_a_call_in_each_dialect_verifies_and_the_caller_hears_a_busy_tone(stack: Stack) -> None:
    seen = Counter()
    for index in range(20):
        made = start(stack, f"+1212556{1000 + index}")
        seen[DIALECTS[E164(made["call"]["number"])]] += 1
        assert dial(stack, made)["heard"] == "busy"
        verified = read(stack, made)
        assert (verified["status"], verified["assurance"]) == ("verified", "asserted")
    # Half of the numbers of the United States belong to each: one of them is missed once in 500,000 runs.
    assert seen.keys() == {Dialect.TWILIO, Dialect.TELNYX}

    made = start(stack, "+79991112244")
    assert dial(stack, made)["heard"] == "busy"
    assert read(stack, made)["status"] == "verified"


def test_the_handset_asks_for_the_number_that_only_the_page_shows(stack: Stack) -> None:
    with urllib.request.urlopen(f"{stack.control}/", timeout=10) as response:
        page = response.read().decode()
    assert "type the number from the page" in page
    assert "appears by itself" not in page
    assert "make examples" not in page, "it would end this stack's numbers"


@pytest.mark.parametrize("phone", ["+12125562001", "+79991112255"])
def test_a_reset_needs_a_call_that_its_network_signed(stack: Stack, phone: str) -> None:
    made = start(stack, phone, "password_reset")

    dial(stack, made)
    dial(stack, made, attestation="B")
    dial(stack, made, hidden=True, attestation="A")
    assert read(stack, made)["status"] == "pending"

    dial(stack, made, attestation="A")
    verified = read(stack, made)
    assert (verified["status"], verified["assurance"]) == ("verified", "network")


def test_a_call_to_another_number_of_the_pool_proves_nothing(stack: Stack) -> None:
    made = start(stack, "+79991112266")
    dialect = DIALECTS[E164(made["call"]["number"])]
    other = next(
        number.value
        for number, each in DIALECTS.items()
        if each is dialect and number.value != made["call"]["number"]
    )

    dial(stack, made, did=other)
    assert read(stack, made)["status"] == "pending"
    dial(stack, made)
    assert read(stack, made)["status"] == "verified"


def run(stack: Stack, *command: str) -> Any:
    ended = subprocess.run(
        [stack.commands / "waitcall", *command, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def test_the_doctor_checks_the_route_of_each_dialect(stack: Stack) -> None:
    found = {each["check"]: each for each in run(stack, "doctor")}

    assert {name: found[f"handler for {name}"]["state"] for name in Dialect} == dict.fromkeys(Dialect, "ok")
    assert found["address to register at twilio"]["found"] == f"{stack.callback}/callbacks/twilio"
    assert "provider" not in found, "SMSC is not used"


def test_an_operator_sees_what_the_call_of_a_record_proved(stack: Stack) -> None:
    phone = "+12125562009"
    made = start(stack, phone, "password_reset")
    names = ("provider", "assurance", "attestation", "weak_call_at")

    dial(stack, made, attestation="B")
    weak = read(stack, made)["weak_call_at"]
    assert weak is not None
    found, explained = run(stack, "find", phone), run(stack, "explain", phone)["verification"]
    assert [found[name] for name in names] == ["own", "asserted", "B", weak]
    assert [explained[name] for name in names] == ["own", "asserted", "B", weak]

    dial(stack, made, attestation="A")
    found, explained = run(stack, "find", phone), run(stack, "explain", phone)["verification"]
    assert [found[name] for name in names] == ["own", "network", "A", weak]
    assert [explained[name] for name in names] == ["own", "network", "A", weak]


def test_the_terminal_says_that_a_weak_call_was_not_enough(stack: Stack) -> None:
    phone = "+12125562010"
    command = [stack.commands / "waitcall", "verify", phone, "--purpose", "password_reset", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as verifying:
        assert verifying.stdout is not None
        assert verifying.stderr is not None
        assert verifying.stderr.readline().startswith("Call ")
        shown = run(stack, "find", phone)
        dial(stack, shown, attestation="B")
        assert "its network did not confirm the number" in verifying.stderr.readline()
        dial(stack, shown, attestation="A")
        answer = json.loads(verifying.stdout.read())
        assert verifying.stderr.read() == "", "it is said once"
    assert (verifying.returncode, answer["status"], answer["assurance"]) == (0, "consumed", "network")


def test_an_explanation_says_what_the_limit_of_wrong_numbers_does(stack: Stack) -> None:
    made = start(stack, "+79991112288")
    dialect = DIALECTS[E164(made["call"]["number"])]
    wrong = [
        each.value for each in DIALECTS if DIALECTS[each] is dialect and each.value != made["call"]["number"]
    ]
    command = [stack.commands / "waitcall", "explain", made["phone_number"]]

    def explained() -> str:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "only a call whose network confirms" not in explained()
    for _ in range(3):
        dial(stack, made, did=wrong[0])
    assert "wrong_numbers is used up: until it resets, only a call whose network confirms" in explained()


def test_the_pool_is_listed_with_what_a_subscriber_was_shown(stack: Stack) -> None:
    made = start(stack, "+79991112277")

    rows = run(stack, "numbers", "pool", "--phone-number", "+79991112277")

    now = datetime.now(UTC)
    busy = [
        each["phone_number"]
        for each in rows
        if datetime.fromisoformat(each["free_at"]) > now + timedelta(seconds=60)
    ]
    assert (len(rows), busy) == (len(DIALECTS), [made["call"]["number"]])
    assert {each["free_at"][-1] for each in rows} == {"Z"}
    assert {each["dialect"] for each in run(stack, "numbers", "pool")} == set(Dialect)
