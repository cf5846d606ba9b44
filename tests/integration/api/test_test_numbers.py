"""Test numbers over HTTP: each answer, event and counter says that they are a test."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.integration.api.conftest import PATH, problem
from tests.integration.conftest import POLICY, Running
from tests.making import NOW, pending
from waitcall.application.effects import body_of
from waitcall.domain.event import events_of
from waitcall.domain.policy import FixedOutcome
from waitcall.domain.status import Status

NUMBER = "+12025550101"
TAKING = (
    POLICY.replace("[purposes.two_steps]", "[purposes.two_steps]\ntest_numbers = true")
    + f'[test_numbers]\n"{NUMBER}" = {{outcome = "verified", delay_seconds = 2, code = "000123"}}\n'
)


@pytest.fixture
def taking(starting: Callable[..., Running]) -> Running:
    return starting(TAKING)


def test_every_answer_of_a_journey_says_test(taking: Running) -> None:
    made = taking.create(phone_number=NUMBER, purpose="two_steps")
    path = f"{PATH}/{made.get_json()['id']}"
    taking.clock.advance(2)
    read = taking.get(path)
    assert (read.get_json()["channel"], read.get_json()["status"]) == ("code", "pending")
    sent = taking.post(f"{path}/resend", {})
    checked = taking.post(f"{path}/check", {"code": "000123"})
    consumed = taking.post(f"{path}/consume", {"purpose": "two_steps", "reference": "flow"})
    answers = [each.get_json() for each in (made, read, sent, checked, consumed)]
    assert [each["test"] for each in answers] == [True] * 5
    assert [each["status"] for each in answers] == ["pending", "pending", "pending", "verified", "consumed"]
    assert taking.create().get_json()["test"] is False


def test_the_provider_hears_nothing(taking: Running) -> None:
    seen = len(taking.simulator.exchange.ledger)
    made = taking.create(phone_number=NUMBER, purpose="two_steps").get_json()
    taking.clock.advance(2)
    taking.post(f"{PATH}/{made['id']}/resend", {})
    taking.delete(f"{PATH}/{made['id']}")
    assert taking.simulator.exchange.ledger[seen:] == []


def test_another_purpose_refuses_it(taking: Running) -> None:
    refused = taking.create(phone_number=NUMBER)
    assert "test number" in problem(refused, 422, "phone_number_not_allowed")["detail"]


def test_a_signed_callback_of_the_number_proves_nothing(taking: Running) -> None:
    made = taking.create(phone_number=NUMBER, purpose="two_steps").get_json()
    assert taking.call(NUMBER.removeprefix("+")).status_code == 200
    assert taking.get(f"{PATH}/{made['id']}").get_json()["called_at"] is None


def test_metrics_tell_tests_from_verifications(taking: Running) -> None:
    taking.create(phone_number=NUMBER, purpose="two_steps")
    metrics = taking.metrics()
    started = 'waitcall_test_verifications_total{client="web",event="started",purpose="two_steps"}'
    assert metrics[started] == 1
    assert metrics['waitcall_test_numbers{purpose="two_steps"}'] == 1
    assert metrics['waitcall_test_numbers{purpose="login"}'] == 0
    assert not [name for name in metrics if name.startswith("waitcall_verifications_started_total{")]


def test_an_event_says_test() -> None:
    canceled = pending().cancel(NOW)
    (real,) = events_of(canceled, NOW)
    assert "test" not in json.loads(body_of(real))["data"]
    (test,) = events_of(replace(canceled, test=FixedOutcome(Status.VERIFIED)), NOW)
    assert json.loads(body_of(test))["data"]["test"] is True
