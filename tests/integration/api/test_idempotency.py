"""Test requests that are repeated with an Idempotency-Key."""

import pytest

from tests.integration.api.conftest import PATH, problem
from tests.integration.conftest import OTHER_KEY, Running
from tests.making import together
from waitcall.adapters.redis.idempotency import RedisIdempotencyStore
from waitcall.adapters.redis.store import RedisVerificationStore
from waitcall.domain.errors import StoreUnavailable


def test_an_idempotency_key_gives_the_same_answer_without_a_second_order(running: Running) -> None:
    body = {"phone_number": "+79991234567", "purpose": "login"}
    first = running.post(PATH, body, Idempotency_Key="k1")
    reordered = {"purpose": "login", "phone_number": "+79991234567"}
    again = running.post(PATH, reordered, Idempotency_Key="k1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert first.headers["Location"] == again.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(running.simulator.exchange.ledger) == 1
    other = running.post(PATH, body | {"reference": "x"}, Idempotency_Key="k1")
    problem(other, 422, "idempotency_key_reused")
    problem(running.post(PATH, body, OTHER_KEY, Idempotency_Key="k1"), 409, "verification_in_progress")


def test_a_consume_is_replayed_too_and_bound_to_its_verification(running: Running) -> None:
    first = running.create().get_json()["id"]
    running.call()
    proof = {"purpose": "login", "reference": "flow"}
    path = f"{PATH}/{first}/consume"
    assert running.post(path, proof, Idempotency_Key="k").status_code == 200

    again = running.post(path, proof, Idempotency_Key="k")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    problem(running.post(path, proof), 409, "already_consumed")
    another = first[:-1] + ("1" if first.endswith("0") else "0")
    other = running.post(f"{PATH}/{another}/consume", proof, Idempotency_Key="k")
    problem(other, 422, "idempotency_key_reused")


def test_one_key_serves_once_on_each_route(running: Running) -> None:
    body = {"phone_number": "+79991234567", "purpose": "login", "reference": "flow"}
    made = running.post(PATH, body, Idempotency_Key="k").get_json()["id"]
    running.call()
    proof = {"purpose": "login", "reference": "flow"}

    consumed = running.post(f"{PATH}/{made}/consume", proof, Idempotency_Key="k")

    assert (consumed.status_code, consumed.get_json()["status"]) == (200, "consumed")
    assert running.post(PATH, body, Idempotency_Key="k").headers["Idempotency-Replayed"] == "true"


def test_after_an_error_the_same_key_tries_again(running: Running) -> None:
    running.simulator.faults.load([{"kind": "error", "value": 3}], None)
    body = {"phone_number": "+79991234567", "purpose": "login"}
    problem(running.post(PATH, body, Idempotency_Key="k"), 502, "provider_error")

    assert running.post(PATH, body, Idempotency_Key="k").status_code == 201


def test_fifty_creates_with_one_key_place_one_order(running: Running) -> None:
    body = {"phone_number": "+79991234567", "purpose": "login"}
    statuses = together(50, lambda _: running.post(PATH, body, Idempotency_Key="k").status_code)

    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert len(running.simulator.exchange.ledger) == 1


def test_an_answer_that_cannot_be_stored_for_a_repeat_is_still_given(running: Running, monkeypatch) -> None:
    """The verification exists, so the client must get its id even if a repeat will not."""

    def away(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(RedisIdempotencyStore, "complete", away)
    body = {"phone_number": "+79991234567", "purpose": "login"}

    assert running.post(PATH, body, Idempotency_Key="k").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_has_1_to_255_characters(running: Running, key: str) -> None:
    body = {"phone_number": "+79991234567", "purpose": "login"}

    problem(running.post(PATH, body, Idempotency_Key=key), 422, "validation_failed")
    assert running.post(PATH, body, Idempotency_Key="x" * 255).status_code == 201


def test_a_consume_whose_answer_was_lost_is_answered_again_under_its_key(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is consumed, but then Redis fails. A repeat with this key gets the proof, and one with another key does not."""
    made = running.create().get_json()
    running.call()
    path, proof = f"/v1/verifications/{made['id']}/consume", {"purpose": "login", "reference": "flow"}
    committed = RedisVerificationStore.commit

    def and_gone(*given, **named):
        committed(*given, **named)
        raise StoreUnavailable(retry_after=1)

    with monkeypatch.context() as broken:
        broken.setattr(RedisVerificationStore, "commit", and_gone)
        assert running.post(path, proof, **{"Idempotency-Key": "once"}).status_code == 503
    assert running.post(path, proof).get_json()["code"] == "already_consumed"
    assert running.post(path, proof, **{"Idempotency-Key": "other"}).get_json()["code"] == "already_consumed"
    again = running.post(path, proof, **{"Idempotency-Key": "once"})
    assert (again.status_code, again.get_json()["status"]) == (200, "consumed")
