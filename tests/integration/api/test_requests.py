"""Test what holds for every request: bodies, keys, paths, request ids, unexpected errors."""

import json
import logging

import pytest

from tests.integration.api.conftest import PATH, problem
from tests.integration.conftest import KEY, OPERATOR_KEY, Running
from waitcall import __version__
from waitcall.adapters.redis.store import RedisVerificationStore
from waitcall.application.request_context import request_id


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


def test_an_unexpected_error_shows_nothing_but_its_request_id(running: Running, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret in the text of an exception")

    monkeypatch.setattr(RedisVerificationStore, "get", broken)
    body = problem(running.get(f"{PATH}/ver_1"), 500, "internal_error")

    assert "secret" not in json.dumps(body)


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


def test_every_json_answer_ends_with_a_newline(running: Running) -> None:
    """So that answers which a shell prints do not run into each other."""
    created = running.create()
    path = f"{PATH}/{created.get_json()['id']}"
    ops = running.ops.test_client()
    answers = [
        *(created, running.get(path), running.delete(path)),
        *(running.post(PATH, {}), running.get("/nowhere"), running.get("/openapi.json")),
        *(ops.get("/livez"), ops.get("/readyz"), ops.get("/version")),
    ]
    for each in answers:
        assert "json" in each.content_type
        assert each.data.endswith(b"}\n")
        assert each.content_length == len(each.data)


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


def test_each_example_of_a_request_is_accepted_as_it_stands(running: Running) -> None:
    document = running.get("/openapi.json").get_json()
    sent = []
    first = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["example"]
    made = running.post(PATH, first | {"phone_number": "+79990000009"}).get_json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters" and "requestBody" in operation:
                example = operation["requestBody"]["content"]["application/json"]["example"]
                key = OPERATOR_KEY if "/operator/" in path else KEY
                answer = running.post(path.format(verification_id=made["id"]), example, key)
                sent.append(operation["operationId"])
                assert answer.status_code in {200, 201, 204, 409}, (path, answer.get_json())
    assert len(sent) == 9
