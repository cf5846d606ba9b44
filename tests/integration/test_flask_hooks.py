"""Test that hooks into Flask see every request. Tracing is one such hook, and it must not change any answer."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, g, request, request_finished
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from werkzeug.routing import Rule

from tests.integration.conftest import KEY, Running
from waitcall.adapters.telemetry.tracing import Tracing

PATH = "/v1/verifications"
NOBODYS = f"{PATH}/ver_{'0' * 64}"
SURFACES = ["api", "callback", "ops"]
VARYING = ("request_id", "instance", "id", "call")


def requests_of(app: Flask) -> list[tuple[str, str]]:
    """Return a method and a path for each route, and for a path without a route."""

    def path(rule: Rule) -> str:
        return rule.rule.replace("<", "").replace(">", "")

    return [(min(rule.methods or ()), path(rule)) for rule in app.url_map.iter_rules()] + [
        ("GET", "/nothing")
    ]


@pytest.mark.parametrize("surface", SURFACES)
def test_hooks_and_signals_fire_on_every_route(running: Running, surface: str) -> None:
    app = getattr(running, surface)
    seen: list[str] = []
    app.before_request(lambda: seen.append("before"))
    app.teardown_request(lambda _: seen.append("teardown"))
    receiver = lambda *_, **__: seen.append("finished")  # noqa: E731  a reference that lives as long as the test
    request_finished.connect(receiver, app)
    for method, path in requests_of(app):
        seen.clear()
        headers = {"Authorization": f"Bearer {KEY}"}
        app.test_client().open(path, method=method, headers=headers).close()
        # A request without the right scope is refused before the test's own before_request function runs.
        assert seen[-2:] == ["finished", "teardown"], (method, path)


def test_an_after_request_function_can_change_the_answer(running: Running) -> None:
    def changed(response: Any) -> Any:
        response.headers["X-Route"] = str(request.url_rule)
        return response

    running.ops.after_request(changed)
    assert running.ops.test_client().get("/livez").headers["X-Route"] == "/livez"


def test_a_hook_that_fails_gives_a_problem_document(running: Running) -> None:
    running.api.before_request(lambda: 1 / 0)
    answer = running.get(NOBODYS)
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert answer.headers["X-Request-ID"] == answer.get_json()["request_id"]


def test_a_view_may_use_flasks_request_and_globals(running: Running) -> None:
    seen: list[tuple[str, str]] = []
    running.api.teardown_request(lambda _: seen.append((request.path, g.client)))
    running.get(NOBODYS)
    assert seen == [(NOBODYS, "web")]


def plain(answer: Any) -> tuple[int, list[str], Any]:
    """Return status, header names and body, without the fields that differ from one request to the next."""
    text = answer.text
    if answer.mimetype in {"application/json", "application/problem+json"}:
        text = {name: value for name, value in json.loads(text).items() if name not in VARYING}
    return answer.status_code, sorted(name for name, _ in answer.headers), text


def life(running: Running, phone: str) -> list[Any]:
    """Run a verification from create to consume, with some refusals, and return the answers."""
    asked = {"phone_number": f"+{phone}", "purpose": "login", "metadata": {"a": "Я"}}
    made = [running.post(PATH, asked, Idempotency_Key=phone) for _ in range(2)]
    url = f"{PATH}/{made[0].get_json()['id']}"
    answers = [*made, running.get(f"{url}?wait=0"), running.call(phone), running.get(url)]
    answers += [running.post(f"{url}/consume", {"purpose": "login"}) for _ in range(2)]
    answers += [running.delete(url), running.get(NOBODYS), running.get(PATH), running.get(url, key="wrong")]
    return [plain(each) for each in answers]


def test_tracing_changes_no_answer_and_no_log_line(starting: Callable[..., Running], caplog) -> None:
    found = []
    spans = InMemorySpanExporter()
    tracing = Tracing("1", spans)
    for phone, is_traced in (("79991234567", False), ("79991234568", True)):
        running = starting()
        if is_traced:
            tracing.watch(running.api)
            tracing.watch(running.callback)
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "waitcall.access"):
            answers = life(running, phone)
        names = ("surface", "route", "method", "status", "client", "remote", "code", "callbacks")
        lines = [
            {name: record.__dict__.get(name) for name in names}
            for record in caplog.records
            if record.message == "request"
        ]
        found.append((json.loads(json.dumps(answers).replace(phone, "PHONE")), lines))

    tracing.close()
    assert found[0] == found[1]
    assert len(spans.get_finished_spans()) == len(found[0][0]) - 1, "a path that no route has makes no span"
    assert [status for status, _, _ in found[0][0]] == [201, 201, 200, 200, 200, 200, 409, 409, 404, 405, 401]
