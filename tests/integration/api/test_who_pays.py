"""Test known attacks on money and on other people's numbers through the API, under the shipped policy.

Attacks with codes use the shipped policy with codes allowed.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Running

SHIPPED = (Path(__file__).resolve().parents[3] / "config/policy.toml").read_text()
CALLS = (
    SHIPPED.replace("[clients.operator]", "[clients.ops]")
    + '\n[clients.app]\npurposes = ["login", "password_reset"]\n'
)
CODES = CALLS.replace('channels = ["call"]\n', 'channels = ["call", "code"]\nregions = ["RU"]\n')
OWNER, ATTACKER = "198.51.100.7", "203.0.113.9"
PATH = "/v1/verifications"


def number(index: int) -> str:
    return f"+7999{4000000 + index}"


def create(running: Running, phone: str, address: str = ATTACKER, **fields: Any) -> Any:
    asked = {"phone_number": phone, "purpose": "login", "client_ip": address} | fields
    return running.post(PATH, asked)


def act(running: Running, verification: str, name: str, **body: Any) -> Any:
    return running.post(f"{PATH}/{verification}/{name}", body)


def test_sixty_creates_by_one_address_make_twenty_orders_and_no_message(
    starting: Callable[..., Running],
) -> None:
    running = starting(CALLS)
    assert create(running, number(0), channel="code").status_code == 422

    answers = Counter(create(running, number(index)).status_code for index in range(60))

    assert answers == {201: 20, 429: 40}
    assert running.simulator.office.sent == []


def test_allowed_codes_go_only_to_russian_mobiles_and_twenty_an_hour(
    starting: Callable[..., Running],
) -> None:
    running = starting(CODES)
    for phone in ("+979123456789", "+78091234567", "+881612345678", "+37120000000", "+79541234567"):
        refused = create(running, phone, channel="code")
        assert (refused.status_code, refused.get_json()["code"]) == (422, "phone_number_not_allowed")

    answers = Counter(create(running, number(index), channel="code").status_code for index in range(60))

    assert answers == {201: 20, 429: 40}
    assert len(running.simulator.office.sent) == 20


def test_fallbacks_to_a_code_count_against_the_limit_of_the_address(starting: Callable[..., Running]) -> None:
    running = starting(CODES.replace('ip = ["20/h", "100/d"]', 'ip = ["5/h"]'))
    made = [create(running, number(index)).get_json()["id"] for index in range(5)]

    answers = [act(running, each, "fallback", channel="code") for each in made]

    assert Counter(each.status_code for each in answers) == {429: 5}
    assert {each.headers["Retry-After"] for each in answers} == {"3600"}
    assert running.simulator.office.sent == []


@pytest.mark.parametrize(("purpose", "spoiled"), [("login", 0), ("password_reset", 20)])
def test_forty_requests_for_owned_numbers_count_for_their_address_and_contest_within_its_limit(
    starting: Callable[..., Running], purpose: str, spoiled: int
) -> None:
    running = starting(CALLS)
    reset = {"purpose": "password_reset", "reference": "the owner's"}
    owners = [
        create(running, number(index), f"198.51.{index}.7", **reset).get_json()["id"] for index in range(40)
    ]

    second = {"purpose": purpose, "reference": "an attacker's"}
    answers = Counter(create(running, number(index), **second).status_code for index in range(40))

    assert answers == {409: 20, 429: 20}
    standing = Counter(running.get(f"{PATH}/{each}").get_json()["status"] for each in owners)
    assert standing == Counter(contested=spoiled, pending=40 - spoiled)


def test_twenty_creates_and_cancels_lock_out_only_their_own_address(
    starting: Callable[..., Running],
) -> None:
    running = starting(CALLS)
    for _ in range(20):
        made = create(running, number(0))
        assert made.status_code == 201
        running.delete(f"{PATH}/{made.get_json()['id']}")
        running.clock.advance(200)
    running.clock.advance(3600)
    assert create(running, number(0)).status_code == 429

    owner = create(running, number(0), OWNER)

    assert owner.status_code == 201
    assert running.call(number(0).lstrip("+")).status_code == 200
    assert running.get(f"{PATH}/{owner.get_json()['id']}").get_json()["status"] == "verified"


def test_twenty_wrong_codes_are_compared_over_any_number_of_verifications(
    starting: Callable[..., Running],
) -> None:
    running = starting(CODES)
    answers: Counter[int] = Counter()
    for index in range(4):
        made = create(running, number(0), f"203.0.{index}.9", channel="code").get_json()["id"]
        wrong = f"{(int(running.code()) + 1) % 1000000:06}"
        answers += Counter(act(running, made, "check", code=wrong).status_code for _ in range(5))
    last = create(running, number(0), OWNER, channel="code").get_json()["id"]

    right = act(running, last, "check", code=running.code())

    assert answers == {422: 20}
    assert (right.status_code, right.get_json()["code"]) == (429, "rate_limited")
    assert right.get_json()["retry_after"] == int(right.headers["Retry-After"]) == 86400
