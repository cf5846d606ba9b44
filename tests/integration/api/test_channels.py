"""Test the routes of the channels over HTTP: keys, scopes, repeats and events."""

import json
from collections.abc import Callable

from tests.integration.conftest import KEY, OTHER_KEY, POLICY, Running
from tests.making import NOW, SEALS, call_at, pending, seconds
from waitcall.application.effects import body_of
from waitcall.domain.channel import Assurance, Channel
from waitcall.domain.event import EventType, events_of
from waitcall.domain.matching import judge_call
from waitcall.domain.policy import Purpose

PATH = "/v1/verifications"


def test_requests_with_one_idempotency_key_send_one_message(running: Running) -> None:
    asked = {"phone_number": "+79991234567", "purpose": "any_channel", "channel": "code"}
    first = running.post(PATH, asked, Idempotency_Key="k-1")
    again = running.post(PATH, asked, Idempotency_Key="k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json() == first.get_json()
    made = first.get_json()["id"]

    running.clock.advance(30)
    sent = [running.post(f"{PATH}/{made}/resend", {}, Idempotency_Key="k-2") for _ in range(3)]
    assert [each.status_code for each in sent] == [200, 200, 200]
    assert len({each.get_data() for each in sent}) == 1
    assert len(running.simulator.office.sent) == 2
    # Without the key this is another resend, and it comes too soon.
    assert running.post(f"{PATH}/{made}/resend", {}).get_json()["code"] == "rate_limited"


def test_another_clients_verification_is_not_found_on_any_route(running: Running) -> None:
    made = running.create(purpose="any_channel").get_json()["id"]
    for action, body in (("fallback", {}), ("resend", {}), ("check", {"code": "123456"})):
        refused = running.post(f"{PATH}/{made}/{action}", body, key=OTHER_KEY)
        assert (refused.status_code, refused.get_json()["code"]) == (404, "not_found"), action
    assert running.get(f"{PATH}/{made}").get_json()["channel"] == "call"


def test_a_client_that_may_only_read_changes_nothing(starting: Callable[..., Running]) -> None:
    running = starting(POLICY.replace('purposes = ["login"]\n', 'purposes = ["login"]\nscopes = ["read"]\n'))
    for action, body in (("fallback", {}), ("resend", {}), ("check", {"code": "123456"})):
        refused = running.post(f"{PATH}/ver_x/{action}", body, key=OTHER_KEY)
        assert (refused.status_code, refused.get_json()["code"]) == (403, "scope_not_allowed"), action


def test_a_wrong_body_is_named(running: Running) -> None:
    made = running.create(purpose="any_channel").get_json()["id"]
    for action, body, field in (
        ("fallback", {"channel": "pigeon"}, "channel"),
        ("fallback", {"to": "code"}, "to"),
        ("resend", {"again": True}, "again"),
        ("check", {}, "code"),
        ("check", {"code": 123456}, "code"),
        ("check", {"code": "１２３４５６"}, "code"),
        ("check", {"code": "123456\n"}, "code"),
    ):
        refused = running.post(f"{PATH}/{made}/{action}", body)
        assert (refused.status_code, refused.get_json()["code"]) == (422, "validation_failed"), body
        assert list(refused.get_json()["errors"]) == [field]


def test_a_captcha_is_passed_on_even_if_the_policy_has_none(running: Running) -> None:
    code = running.simulator.office.picture("127.0.0.1")
    captcha = {"code": code, "user_ip": "127.0.0.1"}
    made = running.create(purpose="any_channel", channel="code", captcha=captcha)
    assert made.status_code == 201
    assert running.simulator.office.pictures == {}


def test_events_name_what_has_matched() -> None:
    rules = Purpose("login", channels=(Channel.CALL, Channel.CODE))
    called = judge_call(pending(rules=rules), call_at(NOW), NOW, seconds(5))[1]
    moved = pending(rules=rules).fall_back(Channel.CODE, Assurance.ROUNDTRIP, NOW)
    sent = moved.send_again(SEALS.seal(moved.id, "012345"), 7, NOW)
    typed = sent.check_code(SEALS.seals(sent.id, "012345"), NOW)[1]

    for record, reason in ((called, "call_matched"), (typed, "code_matched")):
        (event,) = events_of(record, NOW)
        assert event.type is EventType.VERIFIED
        assert json.loads(body_of(event))["data"]["reason"] == reason


def test_a_fallback_and_a_resend_need_no_body(running: Running) -> None:
    made = running.create(purpose="any_channel").get_json()["id"]
    client, key = running.api.test_client(), {"Authorization": f"Bearer {KEY}"}

    fallen = client.post(f"{PATH}/{made}/fallback", headers=key)
    assert (fallen.status_code, fallen.get_json()["channel"]) == (200, "text_in")
    assert client.post(f"{PATH}/{made}/resend", headers=key).get_json()["code"] == "wrong_channel"
    assert client.post(f"{PATH}/{made}/check", headers=key).status_code == 415
