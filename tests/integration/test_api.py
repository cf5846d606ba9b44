"""Test the API as its clients see it."""

import io
import json
import logging
import threading

import pytest
from waitcall import __version__
from waitcall.adapters.redis.idempotency import RedisIdempotencyStore
from waitcall.adapters.redis.store import RedisVerificationStore
from waitcall.application.request_context import request_id
from waitcall.domain.errors import StoreUnavailable

from tests.integration.conftest import KEY, OTHER_KEY, POLICY, Running
from tests.making import together

PATH = "/v1/verifications"


def problem(response, status: int, code: str) -> dict:
    """Assert that a response is this problem (contract, section 6), and return its body."""
    body = response.get_json(force=True)
    assert (response.status_code, body["code"]) == (status, code), body
    assert response.mimetype == "application/problem+json"
    assert body["status"] == status
    assert {"type", "title", "detail", "instance"} <= set(body)
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert ("retry_after" in body) == ("Retry-After" in response.headers)
    return body


def test_create_answers_with_the_number_to_dial(running: Running) -> None:
    response = running.create(metadata={"a": "b"}, locale="ru-RU", client_ip="192.0.2.1")
    body = response.get_json()

    assert response.status_code == 201
    assert response.headers["Location"] == f"{PATH}/{body['id']}"
    assert list(body) == [
        "id", "status", "reason", "purpose", "reference", "phone_number", "call",
        "channel", "text_in", "code", "next_channel", "called_at", "created_at", "expires_at", "expires_in", "verified_at", "consumed_at", "metadata", "assurance",
        "hosted_url",
    ]  # fmt: skip
    number = body["call"]["number"]
    assert body["call"]["uri"] == f"tel:{number}"
    assert body["call"]["display"].replace(" ", "").replace("-", "") == number
    assert (body["created_at"], body["expires_at"]) == ("2026-01-01T12:00:00Z", "2026-01-01T12:15:00Z")
    assert (body["status"], body["reason"], body["expires_in"]) == ("pending", None, 900)
    assert (body["reference"], body["metadata"]) == ("flow", {"a": "b"})
    assert running.get(f"{PATH}/{body['id']}").get_json() == body


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


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "a key"}], ids=["without a key", "with one"])
def test_no_depth_of_a_body_gives_a_500(running: Running, key: dict[str, str]) -> None:
    """Parsing and serializing run out of stack at different depths, so every depth is tried."""
    headers = {"Authorization": f"Bearer {KEY}"} | key
    client = running.api.test_client()
    for depth in range(700, 1000):
        body = b'{"metadata": ' + b"[" * depth + b"]" * depth + b"}"
        given = client.post(PATH, data=body, headers=headers, content_type="application/json")
        assert given.status_code in {400, 422}, depth


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "invalid_request"),
        (b"{", "application/json", 400, "invalid_request"),
        (b"\xff\xfe", "application/json", 400, "invalid_request"),
        (b'{"purpose": "\xd0"}', "application/json", 400, "invalid_request"),
        (b'{"purpose": "\\ud800"}', "application/json", 400, "invalid_request"),
        (b'{"purpose": "login", "purpose": "reset"}', "application/json", 400, "invalid_request"),
        (b'{"window_seconds": NaN}', "application/json", 400, "invalid_request"),
        (b'{"window_seconds": ' + b"9" * 5000 + b"}", "application/json", 400, "invalid_request"),
        (b"[" * 10000, "application/json", 400, "invalid_request"),
        (b"[]", "application/json", 422, "validation_failed"),
        (b"null", "application/json", 422, "validation_failed"),
        (b'"text"', "application/json", 422, "validation_failed"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"{}", "", 415, "unsupported_media_type"),
        (b" " * (16 * 1024 + 1), "application/json", 413, "body_too_large"),
    ],
)
def test_each_unreadable_body_has_its_answer(
    running: Running, body: bytes, content_type: str, status: int, code: str
) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    client = running.api.test_client()

    for path in (PATH, f"{PATH}/ver_1/consume"):
        response = client.post(path, data=body, headers=headers, content_type=content_type)
        problem(response, status, code)


def test_sixteen_kibibytes_are_allowed(running: Running) -> None:
    body = json.dumps({"phone_number": "+79991234567", "purpose": "login"}).encode()
    body += b" " * (16 * 1024 - len(body))

    response = running.api.test_client().post(
        PATH, data=body, headers={"Authorization": f"Bearer {KEY}"}, content_type="application/json"
    )

    assert response.status_code == 201


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer \xe9"],
)
def test_a_request_without_a_valid_key_is_refused(running: Running, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization is not None else {}
    client = running.api.test_client()
    for response in (
        client.post(PATH, json={}, headers=headers),
        client.get(f"{PATH}/ver_1", headers=headers),
        client.delete(f"{PATH}/ver_1", headers=headers),
        client.post(f"{PATH}/ver_1/consume", json={}, headers=headers),
    ):
        problem(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_may_be_spelt_with_any_case_of_bearer(running: Running) -> None:
    response = running.api.test_client().get(f"{PATH}/ver_1", headers={"Authorization": f"bearer {KEY}"})
    problem(response, 404, "not_found")


def test_another_clients_verification_is_not_found(running: Running) -> None:
    path = f"{PATH}/{running.create().get_json()['id']}"

    problem(running.get(path, OTHER_KEY), 404, "not_found")
    problem(running.delete(path, OTHER_KEY), 404, "not_found")
    problem(running.post(f"{path}/consume", {"purpose": "login"}, OTHER_KEY), 404, "not_found")


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


def test_cancel_frees_the_number_and_is_idempotent(running: Running) -> None:
    path = f"{PATH}/{running.create().get_json()['id']}"

    assert running.delete(path).get_json()["reason"] == "by_client"
    assert running.delete(path).status_code == 200
    assert running.create(reference="other").status_code == 201


@pytest.mark.parametrize(
    "wait", ["", "x", "-1", "31", "1.5", "+5", " 5", "1e1", "٣", "100", "5&wait=6", "0x1"]
)
def test_wait_is_whole_seconds_up_to_thirty(running: Running, wait: str) -> None:
    path = f"{PATH}/{running.create().get_json()['id']}"

    problem(running.get(f"{path}?wait={wait}"), 422, "validation_failed")


def test_a_long_poll_sees_the_change(running: Running) -> None:
    path = f"{PATH}/{running.create().get_json()['id']}?wait=30"
    answers: list = []
    reader = threading.Thread(target=lambda: answers.append(running.get(path).get_json()["status"]))
    reader.start()
    running.call()
    reader.join(10)

    assert answers == ["verified"]


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


def test_an_unexpected_error_shows_nothing_but_its_request_id(running: Running, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret in the text of an exception")

    monkeypatch.setattr(RedisVerificationStore, "get", broken)
    body = problem(running.get(f"{PATH}/ver_1"), 500, "internal_error")

    assert "secret" not in json.dumps(body)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_has_1_to_255_characters(running: Running, key: str) -> None:
    body = {"phone_number": "+79991234567", "purpose": "login"}

    problem(running.post(PATH, body, Idempotency_Key=key), 422, "validation_failed")
    assert running.post(PATH, body, Idempotency_Key="x" * 255).status_code == 201


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


def test_no_surface_serves_the_paths_of_another(running: Running) -> None:
    paths = {
        "api": [PATH, "/openapi.json", "/docs"],
        "callback": ["/callbacks/smsc"],
        "ops": ["/livez", "/readyz", "/version", "/metrics"],
    }
    for surface, app in (("api", running.api), ("callback", running.callback), ("ops", running.ops)):
        for other, foreign in paths.items():
            for path in foreign if other != surface else ():
                problem(app.test_client().get(path), 404, "not_found")


def test_unknown_paths_get_404_and_wrong_methods_405(running: Running) -> None:
    problem(running.get("/"), 404, "not_found")
    problem(running.get(f"{PATH}/"), 404, "not_found")
    for response in (
        running.get(PATH),
        running.api.test_client().put(PATH),
        running.api.test_client().options(PATH),
    ):
        problem(response, 405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"


def test_a_request_id_ends_with_its_request(running: Running) -> None:
    """A line that is logged between two requests must not carry the id of either."""
    running.get(PATH)
    assert request_id.get() is None


def test_a_request_id_is_accepted_or_replaced(running: Running) -> None:
    client = running.ops.test_client()

    assert client.get("/livez", headers={"X-Request-ID": "a.B_9-x"}).headers["X-Request-ID"] == "a.B_9-x"
    for bad in ("", "a b", "x" * 129, "é", "a/b"):
        made = client.get("/livez", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
        assert made != bad
        assert len(made) == 20


def test_the_operations_surface_answers_its_four_paths(running: Running) -> None:
    client = running.ops.test_client()

    assert client.get("/livez").get_json() == {"status": "alive"}
    assert client.get("/readyz").get_json() == {"status": "ready"}
    assert client.get("/version").get_json() == {"name": "waitcall", "version": __version__}
    assert client.get("/metrics").mimetype == "text/plain"


def test_each_kind_of_callback_gets_its_answer(running: Running) -> None:
    client = running.callback.test_client()
    assert client.get("/callbacks/smsc").text == "OK"
    problem(client.post("/callbacks/smsc", data=b""), 403, "bad_signature")
    problem(
        client.post("/callbacks/smsc", data={"waitcall": "1", "phone": "1", "ts": "1"}), 403, "bad_signature"
    )
    problem(
        client.post("/callbacks/smsc", data={"waitcall": "1", "phone": "x", "ts": "1"}),
        400,
        "invalid_request",
    )
    problem(client.post("/callbacks/smsc", data=b"x" * 65537), 413, "body_too_large")
    problem(running.call(secret="another-secret-16"), 403, "bad_signature")
    problem(client.put("/callbacks/smsc"), 405, "method_not_allowed")


def test_every_refusal_of_a_known_client_is_counted(running: Running) -> None:
    running.get("/nowhere")
    running.get(PATH)
    running.create(surprise=1)
    running.get(f"{PATH}/ver_1", "not a key")
    metrics = running.metrics()

    for code in ("not_found", "method_not_allowed", "validation_failed"):
        assert metrics[f'waitcall_refusals_total{{client="web",code="{code}"}}'] == 1
    assert not [name for name in metrics if "unauthenticated" in name]


def test_the_public_listener_ignores_api_keys(running: Running, caplog) -> None:
    """Otherwise a stranger could try keys there and see from the answer or the counters which are valid."""
    told = []
    for key in (KEY, "wrong"):
        with caplog.at_level(logging.INFO, "waitcall.access"):
            answer = running.callback.test_client().get(
                "/callbacks/smsc?waitcall=1", headers={"Authorization": f"Bearer {key}"}
            )
        told.append((answer.status_code, caplog.records[-1].__dict__["client"]))
    assert told == [(400, None), (400, None)]
    assert not [name for name in running.metrics() if name.startswith("waitcall_refusals_total{")]


def test_each_request_logs_one_line_with_its_events_and_a_masked_number(running: Running, caplog) -> None:
    with caplog.at_level(logging.INFO):
        made = running.create().get_json()
        running.call()
        running.get(f"{PATH}/{made['id']}")
        running.post(f"{PATH}/{made['id']}/consume", {"purpose": "login", "reference": "flow"})

    lines = [record.__dict__ for record in caplog.records if record.name.startswith("waitcall")]
    assert [line["message"] for line in lines] == ["request"] * 4
    told = [[(each["event"], each["status"]) for each in line.get("events", [])] for line in lines]
    assert told == [[("started", "pending")], [("verified", "verified")], [], [("finished", "consumed")]]
    assert {each["phone_number"] for line in lines for each in line.get("events", [])} == {"+79*******67"}


@pytest.mark.parametrize(
    ("body", "logged"),
    [
        ({"waitcall": "1", "phone": "79991234567", "ts": "1", "sha1": "0" * 40}, "call bad_signature"),
        ({"waitcall": "1", "phone": "+7999", "ts": "1"}, "call malformed"),
        ({"a": "b"}, "unknown bad_signature"),
    ],
)
def test_the_log_line_of_a_callback_has_its_kind_and_outcome(
    running: Running, caplog, body: dict[str, str], logged: str
) -> None:
    with caplog.at_level(logging.INFO, "waitcall.access"):
        running.create()
        running.call()
        running.call()
        running.callback.test_client().get("/callbacks/smsc")
        running.callback.test_client().post("/callbacks/smsc", data=body)

    told = [record.__dict__.get("callbacks") for record in caplog.records]
    assert told == [None, ["call confirmed"], ["call repeated"], None, [logged]]


def test_no_line_of_the_log_and_no_metric_holds_the_number(starting) -> None:
    """The log level is debug, and there are successes and failures of every kind."""
    running = starting(WAITCALL_LOG_LEVEL="debug")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    from waitcall.adapters.telemetry.logging import MaskingJsonFormatter  # noqa: PLC0415

    handler.setFormatter(MaskingJsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        running.simulator.faults.load([{"kind": "error", "value": 3}], None)
        running.create()
        made = running.create().get_json()
        running.get(f"{PATH}/+79991234567")
        running.get("/+79991234567?phone=79991234567")
        running.create(phone_number="+7 999 123-45-6x")
        running.call()
        running.call()
        running.callback.test_client().get("/callbacks/smsc?waitcall=1&phone=79991234567&ts=1&sha1=0")
        running.post(f"{PATH}/{made['id']}/consume", {"purpose": "login", "reference": "flow"})
        headers = {"X-Request-ID": "79991234567"}
        running.ops.test_client().get("/livez", headers=headers)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()

    text = stream.getvalue()
    assert len(text.splitlines()) > 10
    assert "9991234567" not in text
    assert made["id"] not in text
    assert "9991234567" not in running.ops.test_client().get("/metrics").text


def test_each_step_is_counted(running: Running) -> None:
    made = running.create().get_json()
    running.clock.advance(12)
    running.call()
    running.call()
    running.call(phone="79991234500")
    running.post(f"{PATH}/{made['id']}/consume", {"purpose": "login", "reference": "flow"})
    running.post(f"{PATH}/{made['id']}/consume", {"purpose": "login", "reference": "flow"})
    running.callback.test_client().post("/callbacks/smsc", data=b"{")
    metrics = running.metrics()

    whose = 'client="web",purpose="login",region="RU"'
    for name, count in {
        f"waitcall_verifications_started_total{{{whose}}}": 1,
        f"waitcall_verifications_verified_total{{{whose}}}": 1,
        f'waitcall_verifications_finished_total{{{whose[:-12]},region="RU",reason="call_matched",status="consumed"}}': 1,
        'waitcall_time_to_call_seconds_sum{purpose="login",region="RU"}': 12,
        'waitcall_callbacks_total{kind="call",outcome="confirmed"}': 1,
        'waitcall_callbacks_total{kind="call",outcome="repeated"}': 1,
        'waitcall_callbacks_total{kind="call",outcome="unmatched"}': 1,
        'waitcall_callbacks_total{kind="unknown",outcome="malformed"}': 1,
        "waitcall_callback_lag_seconds_count": 2,
        'waitcall_provider_requests_total{operation="wait_call",outcome="ok"}': 1,
        'waitcall_provider_request_duration_seconds_count{operation="wait_call"}': 1,
        'waitcall_refusals_total{client="web",code="already_consumed"}': 1,
        'waitcall_http_requests_total{method="POST",route="/v1/verifications",status="201"}': 1,
    }.items():
        found = {_parts(each): value for each, value in metrics.items()}
        assert found.get(_parts(name)) == count, name


def _parts(name: str) -> tuple:
    head, _, labels = name.rstrip("}").partition("{")
    return head, frozenset(filter(None, labels.split(",")))


def test_a_consume_whose_answer_was_lost_is_answered_again_under_its_key(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is consumed, but then Redis fails. The same key gets the proof, another key does not."""
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
