"""Test the main job, and when a consume is refused."""

import pytest

from tests.integration.api.conftest import PATH, problem
from tests.integration.conftest import Running


def test_the_main_job(running: Running) -> None:
    made = running.create().get_json()
    running.clock.advance(20)
    callback = running.call()
    assert (callback.status_code, callback.text) == (200, "OK")

    read = running.get(f"{PATH}/{made['id']}?wait=30").get_json()
    assert (read["status"], read["reason"], read["verified_at"]) == (
        "verified",
        "call_matched",
        "2026-01-01T12:00:20Z",
    )
    proof = {"purpose": "login", "reference": "flow"}
    consumed = running.post(f"{PATH}/{made['id']}/consume", proof)
    assert (consumed.status_code, consumed.get_json()["status"]) == (200, "consumed")
    problem(running.post(f"{PATH}/{made['id']}/consume", proof), 409, "already_consumed")
    problem(running.delete(f"{PATH}/{made['id']}"), 409, "already_verified")


@pytest.mark.parametrize(
    ("proof", "status", "code"),
    [
        ({"purpose": "reset", "reference": "flow"}, 403, "purpose_mismatch"),
        ({"purpose": "login", "reference": "other"}, 403, "reference_mismatch"),
        ({"purpose": "login"}, 403, "reference_mismatch"),
        ({"purpose": "login", "reference": None}, 403, "reference_mismatch"),
        ({"purpose": "login", "reference": "flow"}, 409, "not_verified"),
        ({"reference": "flow"}, 422, "validation_failed"),
        ({"purpose": "login", "reference": "flow", "x": 1}, 422, "validation_failed"),
    ],
)
def test_a_consume_is_checked_in_order(running: Running, proof: dict, status: int, code: str) -> None:
    verification_id = running.create().get_json()["id"]

    problem(running.post(f"{PATH}/{verification_id}/consume", proof), status, code)


def test_a_lapsed_or_expired_verification_cannot_be_consumed(running: Running) -> None:
    proof = {"purpose": "login", "reference": "flow"}
    first = running.create().get_json()["id"]
    running.call()
    running.clock.advance(300)
    problem(running.post(f"{PATH}/{first}/consume", proof), 410, "expired")
    second = running.create().get_json()["id"]
    running.clock.advance(900)
    problem(running.post(f"{PATH}/{second}/consume", proof), 410, "expired")

    lapsed, expired = (running.get(f"{PATH}/{each}").get_json() for each in (first, second))
    assert (lapsed["status"], lapsed["reason"]) == ("lapsed", "not_consumed")
    assert (expired["status"], expired["reason"], expired["expires_in"]) == ("expired", "no_call", 0)


def test_a_contested_verification_cannot_be_consumed(running: Running) -> None:
    made = running.create(purpose="contested").get_json()
    problem(running.create(purpose="contested", reference="other"), 409, "verification_in_progress")
    assert running.call().status_code == 200

    proof = {"purpose": "contested", "reference": "flow"}
    problem(running.post(f"{PATH}/{made['id']}/consume", proof), 409, "contested")
    assert running.delete(f"{PATH}/{made['id']}").get_json()["status"] == "canceled"
