"""Most requests go past Flask's request, response and contexts; hooked into, Flask serves them all. Nobody can tell which."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.integration.conftest import KEY, OTHER_KEY, Running

PATH = "/v1/verifications"
NOBODYS = f"{PATH}/ver_{'0' * 64}"
VARYING = {"x-request-id"}


def hooked(app: Flask) -> Flask:
    """Go Flask's way."""
    app.before_request(lambda: None)
    return app


def ask(app: Flask, method: str, path: str, **options: Any) -> dict[str, Any]:
    answer = app.test_client().open(path, method=method, **options)
    headers = {name.lower(): value for name, value in answer.headers if name.lower() not in VARYING}
    body: Any = answer.get_data()
    if method == "HEAD":
        headers.pop("content-length", None)
    if body and "json" in headers.get("content-type", ""):
        body = {
            name: value for name, value in json.loads(body).items() if name not in ("request_id", "instance")
        }
        headers.pop("content-length", None)
    return {"status": answer.status, "headers": headers, "body": body}


API = [
    ("POST", PATH, {"json": {"phone_number": "+7", "purpose": "login"}}),
    ("POST", PATH, {"json": {"purpose": "login", "surprise": 1}}),
    ("POST", PATH, {"data": b"{", "content_type": "application/json"}),
    ("POST", PATH, {"data": b"\xff", "content_type": "application/json"}),
    ("POST", PATH, {"data": b'{"a": 1, "a": 2}', "content_type": "application/json; charset=utf-8"}),
    ("POST", PATH, {"data": b"{}", "content_type": "text/plain"}),
    ("POST", PATH, {"data": b"x" * 16385, "content_type": "application/json"}),
    ("POST", PATH, {"json": {"phone_number": "+79991234567", "purpose": "login"}, "key": ""}),
    ("POST", PATH, {"json": {"phone_number": "+79991234567", "purpose": "foreign"}}),
    ("POST", PATH, {"json": {}, "headers": {"Idempotency-Key": "x" * 256}}),
    ("GET", PATH, {}),
    ("GET", NOBODYS, {}),
    ("HEAD", NOBODYS, {}),
    ("GET", f"{NOBODYS}?wait=31", {}),
    ("GET", f"{NOBODYS}?wait=1&wait=2", {}),
    ("GET", f"{NOBODYS}?channel=%D1%8F", {}),
    ("GET", NOBODYS, {"key": ""}),
    ("GET", NOBODYS, {"key": "wrong"}),
    ("GET", NOBODYS, {"key": OTHER_KEY}),
    ("PUT", NOBODYS, {}),
    ("OPTIONS", NOBODYS, {}),
    ("DELETE", NOBODYS, {}),
    ("POST", f"{NOBODYS}/consume", {"json": {"purpose": "login"}}),
    ("POST", f"{NOBODYS}/consume/", {"json": {"purpose": "login"}}),
    ("POST", f"{NOBODYS}/fallback", {"json": {}}),
    ("GET", f"{PATH}/", {}),
    ("GET", f"{PATH}//", {}),
    ("GET", f"/{PATH}/x", {}),
    ("GET", f"{PATH}/%D0%AF", {}),
    ("GET", f"{PATH}/a%2Fconsume", {}),
    ("GET", "/", {}),
    ("GET", "/docs", {}),
    ("GET", "/docs/nothing", {}),
    ("GET", "/docs/start.js", {}),
    ("GET", "/openapi.json", {}),
    ("GET", "/v1/operator/lists", {}),
    ("GET", "/livez", {}),
]
CALLBACKS = [
    ("GET", "/callbacks/smsc", {}),
    ("HEAD", "/callbacks/smsc", {}),
    ("POST", "/callbacks/smsc", {"data": {"waitcall": "1", "phone": "79991234567", "ts": "1"}}),
    ("POST", "/callbacks/smsc", {"data": {"waitcall": "1", "phone": "+7", "ts": "1"}}),
    ("GET", "/callbacks/smsc?a=1&a=2", {}),
    ("POST", "/callbacks/smsc", {"data": b"x" * 65537}),
    ("PUT", "/callbacks/smsc", {}),
    ("GET", "/callbacks/smsc/", {}),
    ("GET", PATH, {}),
]
OPS = [
    ("GET", "/livez", {}),
    ("GET", "/readyz", {}),
    ("HEAD", "/readyz", {}),
    ("GET", "/version", {}),
    ("POST", "/version", {}),
    ("GET", "/callbacks/smsc", {}),
]


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    names = ("surface", "route", "method", "status", "client", "remote", "code", "verification", "callbacks")
    return [
        {name: record.__dict__.get(name) for name in names}
        for record in caplog.records
        if record.message == "request"
    ]


@pytest.mark.parametrize(
    ("surface", "method", "path", "options"),
    [
        (surface, *asked)
        for surface, all_asked in (("api", API), ("callback", CALLBACKS), ("ops", OPS))
        for asked in all_asked
    ],
)
def test_an_answer_and_what_is_told_of_it_are_the_same_both_ways(
    starting: Callable[..., Running], caplog, surface: str, method: str, path: str, options: dict[str, Any]
) -> None:
    given = dict(options)
    key = given.pop("key", KEY)
    headers = given.pop("headers", {}) | ({"Authorization": f"Bearer {key}"} if key else {})
    found = []
    for way in (lambda app: app, hooked):
        running = starting()
        app = way(getattr(running, surface))
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "waitcall.access"):
            answer = ask(app, method, path, headers=headers, **given)
        counted = {
            name: n for name, n in running.metrics().items() if "_bucket" not in name and "_sum" not in name
        }
        found.append((answer, told(caplog), {n: v for n, v in counted.items() if "created" not in n}))

    assert found[0] == found[1]


def test_a_whole_life_is_the_same_both_ways(starting: Callable[..., Running]) -> None:
    """On two numbers, because each call is used once."""
    found = []
    for phone, way in (("79991234567", lambda app: app), ("79991234568", hooked)):
        running = starting()
        way(running.api)
        way(running.callback)
        asked = {"phone_number": f"+{phone}", "purpose": "login", "metadata": {"a": "Я"}}
        made = [running.post(PATH, asked, Idempotency_Key=phone) for _ in range(2)]
        url = f"{PATH}/{made[0].get_json()['id']}"
        answers = [*made, running.get(f"{url}?wait=0"), running.call(phone), running.get(url)]
        answers += [running.post(f"{url}/consume", {"purpose": "login"}) for _ in range(2)]
        answers += [running.delete(url)]
        found.append(
            [(each.status, sorted(each.headers.keys()), _plain(each.text, phone)) for each in answers]
        )

    assert found[0] == found[1]
    assert [status[:3] for status, _, _ in found[0]] == [
        "201",
        "201",
        "200",
        "200",
        "200",
        "200",
        "409",
        "409",
    ]


def _plain(text: str, phone: str) -> Any:
    """Without what differs from one verification to the next."""
    if not text.startswith("{"):
        return text
    document = json.loads(text.replace(phone, "PHONE"))
    return {
        name: value
        for name, value in document.items()
        if name not in ("id", "request_id", "instance", "call")
    }


def test_a_hook_that_breaks_is_a_problem_like_any_other(running: Running) -> None:
    running.api.before_request(lambda: 1 / 0)
    answer = running.get(NOBODYS)
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert answer.headers["X-Request-ID"] == answer.get_json()["request_id"]


def test_requests_go_flasks_way_once_somebody_hooks_into_it(running: Running) -> None:
    seen: list[str] = []
    running.get(NOBODYS)
    running.api.before_request(lambda: seen.append("hooked"))
    running.get(NOBODYS)
    assert seen == ["hooked"]
