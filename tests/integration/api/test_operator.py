"""Test /v1/operator and the scopes of keys, on the application that production runs."""

import hashlib
import json
import logging

import pytest

from tests.integration.api.conftest import problem
from tests.integration.conftest import KEY, OPERATOR_KEY, OTHER_KEY, POLICY, Running

PATH = "/v1/verifications"
NUMBER = "+79991234567"
OF_THE_NUMBER = ["number", "number_total", "code_number", "failed_checks", "wrong_numbers"]
LIMITED = POLICY.replace("number = []", 'number = ["1/10m"]\nip = ["9/h record_only"]')


def test_each_scope_allows_its_own_routes_and_no_other(starting) -> None:
    doors = {
        "create": [
            ("POST", PATH, {"phone_number": NUMBER, "purpose": "login"}),
            ("DELETE", f"{PATH}/x", None),
        ],
        "read": [("GET", f"{PATH}/x", None)],
        "consume": [("POST", f"{PATH}/x/consume", {"purpose": "login"})],
        "operate": [
            ("GET", "/v1/operator/lists", None),
            ("POST", "/v1/operator/lists", {}),
            ("POST", "/v1/operator/lists/remove", {}),
            ("POST", "/v1/operator/explain", {}),
            ("POST", "/v1/operator/unblock", {}),
        ],
    }
    clients = "".join(f'[clients.{name}]\npurposes = ["login"]\nscopes = ["{name}"]\n' for name in doors)
    keys = ",".join(f"{name}={hashlib.sha256(name.encode()).hexdigest()}" for name in doors)
    running = starting(POLICY.replace("[limits]", clients + "[limits]"), WAITCALL_API_KEYS=keys)

    for scope in doors:
        for door, requests in doors.items():
            for method, path, body in requests:
                response = running.api.test_client().open(
                    path, method=method, json=body, headers={"Authorization": f"Bearer {scope}"}
                )
                if scope == door:
                    assert response.status_code in (200, 201, 404, 422), (scope, path)
                else:
                    problem(response, 403, "scope_not_allowed")
    refusals = [series for series in running.metrics() if "refusals_total" in series]
    assert any('client="read",code="scope_not_allowed"' in series for series in refusals)


def test_an_ordinary_client_operates_nothing(running: Running) -> None:
    problem(running.post("/v1/operator/explain", {"phone_number": NUMBER}), 403, "scope_not_allowed")
    problem(
        running.post(PATH, {"phone_number": NUMBER, "purpose": "login"}, key=OPERATOR_KEY),
        403,
        "scope_not_allowed",
    )
    problem(
        running.post("/v1/operator/explain", {"phone_number": NUMBER}, key="nobody"), 401, "unauthenticated"
    )


def test_a_create_returns_the_state_of_its_limits(starting) -> None:
    running = starting(LIMITED)
    made = running.create(client_ip="192.0.2.1")
    running.delete(f"{PATH}/{made.get_json()['id']}")
    refused = running.create(client_ip="192.0.2.1")

    assert made.headers["RateLimit-Policy"] == '"number-600";q=1;w=600'
    assert made.headers["RateLimit"] == '"number-600";r=0;t=600'
    body = problem(refused, 429, "rate_limited")
    assert body["retry_after"] == 600
    assert refused.headers["RateLimit-Policy"] == made.headers["RateLimit-Policy"]
    assert refused.headers["RateLimit"] == '"number-600";r=0;t=600'


def test_without_a_limit_there_is_no_header_about_limits(running: Running) -> None:
    assert "RateLimit" not in running.create().headers
    assert "RateLimit-Policy" not in running.create(phone_number="+79991234568").headers


def test_a_refused_number_is_explained_and_let_pass(starting) -> None:
    running = starting(LIMITED)
    made = running.create(client_ip="192.0.2.1").get_json()

    told = running.operate("explain", phone_number=NUMBER, client_ip="192.0.2.1").get_json()

    assert told["refused"] is True
    assert [each["code"] for each in told["refusals"]] == ["verification_in_progress", "rate_limited"]
    assert told["limits"][0] == {
        "scope": "number", "limit": "1/10m", "mode": "enforce", "used": 1, "remaining": 0, "reset_seconds": 600,
    }  # fmt: skip
    assert {each["mode"] for each in told["limits"]} == {"enforce", "record_only"}
    assert (told["region"], told["number_type"], told["assurance"]) == ("RU", "mobile", "asserted")
    assert told["verification"]["client"] == "web"
    assert made["id"] not in json.dumps(told)

    undone = running.operate("unblock", phone_number=NUMBER, reason="ticket", verification=True).get_json()

    assert undone == {"limits": OF_THE_NUMBER, "lists": [], "conversions": 0, "verification_canceled": True}
    assert running.get(f"{PATH}/{made['id']}").get_json()["reason"] == "by_operator"
    assert running.create(client_ip="192.0.2.1").status_code == 201


def test_a_block_is_made_listed_and_removed(running: Running) -> None:
    made = running.operate("lists", action="block", network="192.0.2.7/24", reason="a flood", expires_in=600)
    assert made.status_code == 201
    assert made.get_json() == {
        "action": "block", "kind": "network", "subject": "192.0.2.0/24", "reason": "a flood", "by": "ops",
        "created_at": "2026-01-01T12:00:00Z", "expires_at": "2026-01-01T12:10:00Z",
    }  # fmt: skip

    body = problem(running.create(client_ip="192.0.2.99"), 403, "blocked")
    assert body["retry_after"] == 600
    assert "flood" not in json.dumps(body)
    listed = running.api.test_client().get(
        "/v1/operator/lists", headers={"Authorization": f"Bearer {OPERATOR_KEY}"}
    )
    assert listed.get_json() == {"lists": [made.get_json()]}
    gone = running.operate("lists/remove", network="192.0.2.0/24", reason="over")
    assert (gone.status_code, gone.data) == (204, b"")
    assert running.create(client_ip="192.0.2.99").status_code == 201
    problem(running.operate("lists/remove", network="192.0.2.0/24", reason="over"), 404, "not_found")


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("explain", {}),
        ("explain", {"phone_number": NUMBER, "surprise": 1}),
        ("explain", {"client_ip": "nowhere"}),
        ("explain", {"client": "nobody"}),
        ("unblock", {"phone_number": NUMBER}),
        ("unblock", {"phone_number": NUMBER, "reason": "x", "scope": "provider"}),
        ("unblock", {"phone_number": NUMBER, "reason": "x", "verification": "yes"}),
        ("lists", {"action": "block", "reason": "x", "expires_in": 60}),
        ("lists", {"action": "block", "number": NUMBER, "prefix": "+7", "reason": "x", "expires_in": 60}),
        ("lists", {"action": "forbid", "number": NUMBER, "reason": "x", "expires_in": 60}),
        ("lists", {"action": "block", "number": NUMBER, "reason": "x"}),
        ("lists", {"action": "block", "number": NUMBER, "reason": "x", "expires_in": 0}),
        ("lists", {"action": "block", "number": NUMBER, "reason": "x", "expires_in": True}),
        ("lists", {"action": "block", "number": "nothing", "reason": "x", "expires_in": 60}),
        ("lists/remove", {"prefix": "7", "reason": "x"}),
    ],
)
def test_each_wrong_field_is_named(running: Running, what: str, fields: dict) -> None:
    assert problem(running.operate(what, **fields), 422, "validation_failed")["errors"]


def test_an_operators_number_is_in_no_log_line(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    running.operate("lists", action="block", number=NUMBER, reason="x", expires_in=60)
    running.operate("explain", phone_number=NUMBER)
    running.create()
    running.operate("unblock", phone_number=NUMBER, reason="x")

    assert caplog.records
    assert [r for r in caplog.records if NUMBER[1:] in f"{r.getMessage()} {r.__dict__}"] == []


def test_the_audit_log_line_is_an_option(starting, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    running = starting(POLICY + "[audit]\nlog = true\n")
    running.create()
    running.operate("explain", phone_number=NUMBER)

    told = [(r.event, r.actor) for r in caplog.records if r.name == "waitcall.audit"]
    assert told == [("started", "client:web"), ("explain", "operator:ops")]


def test_decisions_of_the_conversion_guard_are_counted(starting) -> None:
    guard = '[conversion.prefix]\nmode = "record_only"\ndigits = 5\nsettle_seconds = 0\nfloor = 1\n'
    running = starting(POLICY + guard)
    for index in range(2):
        running.create(phone_number=f"+7999123456{index}", reference=None)
    running.clock.advance(200)
    assert running.create(phone_number="+79991234569", reference=None).status_code == 201

    told = running.metrics()
    decisions = 'waitcall_conversion_guard_decisions_total{decision="%s",group="prefix",region="RU"}'
    assert (told[decisions % "allow"], told[decisions % "would_deny"]) == (2, 1)
    at = told['waitcall_conversion_guard_exceeded_timestamp_seconds{group="prefix",region="RU"}']
    assert at == running.clock().timestamp()


def test_contests_are_counted(running: Running) -> None:
    running.create(purpose="contested")
    for _ in range(2):
        problem(
            running.post(PATH, {"phone_number": NUMBER, "purpose": "login"}, key=OTHER_KEY),
            409,
            "verification_in_progress",
        )

    told = running.metrics()
    assert told['waitcall_verifications_contested_total{client="web",purpose="contested",region="RU"}'] == 1
    assert KEY not in str(told)


def test_an_assurance_below_the_purposes_is_refused_with_an_explanation(starting) -> None:
    policy = POLICY.replace("[purposes.reset]", '[purposes.reset]\nmin_assurance = "network"')
    running = starting(policy + '[assurance.RU]\nlevel = "network"\nsource = "x"\n')

    assert running.create(purpose="reset").get_json()["assurance"] == "network"
    assert running.create(phone_number="+77011234567").get_json()["assurance"] == "asserted"
    body = problem(
        running.create(phone_number="+77017654321", purpose="reset"), 422, "phone_number_not_allowed"
    )
    assert "assurance asserted" in body["detail"]


def test_a_block_cancels_pending_verifications_and_refuses_to_consume_proofs(running: Running) -> None:
    waiting = running.create().get_json()
    proven = running.create(phone_number="+79991234568").get_json()
    running.call("79991234568")
    for number in (NUMBER, "+79991234568"):
        blocked = running.operate("lists", action="block", number=number, reason="stolen", expires_in=600)
        assert blocked.status_code == 201

    ended = running.get(f"/v1/verifications/{waiting['id']}").get_json()
    assert (ended["status"], ended["reason"]) == ("canceled", "by_operator")
    assert running.call().status_code == 200
    refused = running.post(
        f"/v1/verifications/{proven['id']}/consume", {"purpose": "login", "reference": "flow"}
    )
    problem(refused, 403, "blocked")
    assert 0 < refused.get_json()["retry_after"] <= 600
    counted = running.metrics()
    assert counted['waitcall_callbacks_total{kind="call",outcome="unmatched"}'] == 1
    assert counted['waitcall_refusals_total{client="web",code="blocked"}'] == 1
