"""Test the answers of a create."""

import pytest

from tests.integration.api.conftest import PATH, problem
from tests.integration.conftest import POLICY, Running


def test_create_answers_with_the_number_to_dial(running: Running) -> None:
    response = running.create(metadata={"a": "b"}, locale="ru-RU", client_ip="192.0.2.1")
    body = response.get_json()

    assert response.status_code == 201
    assert response.headers["Location"] == f"{PATH}/{body['id']}"
    assert list(body) == [
        "id", "status", "reason", "purpose", "reference", "phone_number", "call",
        "channel", "text_in", "code", "next_channel", "called_at", "weak_call_at", "created_at", "expires_at", "expires_in", "verified_at", "consumed_at", "metadata", "assurance",
        "test", "hosted_url",
    ]  # fmt: skip
    number = body["call"]["number"]
    assert body["call"]["uri"] == f"tel:{number}"
    assert body["call"]["display"].replace(" ", "").replace("-", "") == number
    assert (body["created_at"], body["expires_at"]) == ("2026-01-01T12:00:00Z", "2026-01-01T12:15:00Z")
    assert (body["status"], body["reason"], body["expires_in"]) == ("pending", None, 900)
    assert (body["reference"], body["metadata"]) == ("flow", {"a": "b"})
    assert running.get(f"{PATH}/{body['id']}").get_json() == body


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"phone_number": 79991234567}, "phone_number"),
        ({"phone_number": None}, "phone_number"),
        ({"purpose": "unheard_of"}, "purpose"),
        ({"purpose": ["login"]}, "purpose"),
        ({"reference": ""}, "reference"),
        ({"reference": "x" * 129}, "reference"),
        ({"reference": 5}, "reference"),
        ({"window_seconds": "900"}, "window_seconds"),
        ({"window_seconds": 60.5}, "window_seconds"),
        ({"window_seconds": 60.0}, "window_seconds"),
        ({"window_seconds": True}, "window_seconds"),
        ({"window_seconds": 59}, "window_seconds"),
        ({"window_seconds": 901}, "window_seconds"),
        ({"purpose": "reset", "window_seconds": 601}, "window_seconds"),
        ({"purpose": "reset", "reference": None}, "reference"),
        ({"client_ip": "nowhere"}, "client_ip"),
        ({"client_ip": "192.0.2.256"}, "client_ip"),
        ({"client_ip": "fe80::1%eth0"}, "client_ip"),
        ({"client_ip": 3221225985}, "client_ip"),
        ({"locale": "not a locale"}, "locale"),
        ({"locale": "en_US"}, "locale"),
        ({"locale": "ру"}, "locale"),
        ({"metadata": {str(n): "x" for n in range(11)}}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_each_wrong_value_is_named(running: Running, fields: dict, field: str) -> None:
    body = problem(running.create(**fields), 422, "validation_failed")

    assert list(body["errors"]) == [field]
    assert all(isinstance(message, str) for message in body["errors"][field])
    assert running.simulator.exchange.ledger == []


def test_all_wrong_values_are_named_at_once(running: Running) -> None:
    body = problem(running.post(PATH, {"x": 1, "window_seconds": "1"}), 422, "validation_failed")

    assert set(body["errors"]) == {"x", "window_seconds", "phone_number", "purpose"}


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"phone_number": "nonsense"}, 422, "invalid_phone_number"),
        ({"phone_number": ""}, 422, "invalid_phone_number"),
        ({"phone_number": "+70000000000"}, 422, "invalid_phone_number"),
        ({"purpose": "foreign"}, 403, "purpose_not_allowed"),
    ],
)
def test_other_refusals_of_a_create(running: Running, fields: dict, status: int, code: str) -> None:
    problem(running.create(**fields), status, code)


def test_a_second_requester_is_refused_without_an_order(running: Running) -> None:
    running.create()
    body = problem(running.create(reference="other"), 409, "verification_in_progress")

    assert body["retry_after"] == 900
    assert len(running.simulator.exchange.ledger) == 1


def test_the_same_requester_gets_200(running: Running) -> None:
    first, again = running.create(), running.create()

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.get_json() == again.get_json()
    assert "Location" not in again.headers


@pytest.mark.parametrize(
    ("fault", "status", "code", "reason"),
    [
        ({"kind": "error", "value": 3}, 502, "provider_error", "provider_error"),
        ({"kind": "premium"}, 502, "provider_error", "provider_error"),
        ({"kind": "html"}, 502, "provider_error", "provider_error"),
        ({"kind": "half"}, 502, "provider_error", "provider_error"),
        ({"kind": "error", "value": 9}, 503, "provider_unavailable", "provider_unavailable"),
        ({"kind": "status", "value": 500}, 503, "provider_unavailable", "provider_unavailable"),
        ({"kind": "reset"}, 503, "provider_unavailable", "provider_unavailable"),
        ({"kind": "error", "value": 7}, 422, "phone_number_not_allowed", "number_refused"),
    ],
)
def test_a_failed_order_names_its_record_and_frees_the_number(
    running: Running, fault: dict, status: int, code: str, reason: str
) -> None:
    running.simulator.faults.load([fault], None)
    body = problem(running.create(), status, code)

    record = running.get(body["instance"]).get_json()
    assert (record["status"], record["reason"], record["call"]) == ("failed", reason, None)
    assert running.create(reference="other").status_code == 201


def test_a_limit_answers_429_with_the_time_to_wait(starting) -> None:
    running = starting(POLICY.replace("number = []", 'number = ["1/10m"]'))
    running.delete(f"{PATH}/{running.create().get_json()['id']}")

    assert problem(running.create(), 429, "rate_limited")["retry_after"] == 600


@pytest.mark.parametrize(
    "name",
    [
        "reference",
        "window_seconds",
        "client_ip",
        "locale",
        "metadata",
        "channel",
        "captcha",
        "context",
        "hosted",
    ],
)
def test_null_is_the_same_as_absent(running: Running, name: str) -> None:
    made = running.create(**{name: None})
    assert made.status_code == 201, made.text
    assert made.get_json()["metadata"] == {}


@pytest.mark.parametrize("name", ["phone_number", "purpose"])
def test_a_required_field_must_not_be_null(running: Running, name: str) -> None:
    assert running.create(**{name: None}).get_json()["errors"].keys() == {name}
