"""Test the example apps against a hostile visitor, with the double of the client."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks import Webhook
from waitcall_client import Webhooks
from waitcall_client.testing import Double
from werkzeug.test import TestResponse

from examples import web
from examples.login.app import login_app
from examples.password_reset import app as reset_module
from examples.password_reset.app import reset_app
from tests.end_to_end.receivers import SECRET

NUMBER, OTHER = "+79991234567", "+79997654321"
PAGES = "https://verify.example.org"


@dataclass
class Example:
    """An example app, the double of its service, and the path that its first form is sent to."""

    name: str
    app: Flask
    double: Double
    begin_at: str

    def visitor(self) -> "Visitor":
        return Visitor(self, self.app.test_client())


class Visitor:
    """Browser that keeps cookies and fills in the forms that it was shown."""

    def __init__(self, example: Example, client: FlaskClient) -> None:
        self.example = example
        self.client = client
        self.page = ""

    def get(self, path: str, **options: Any) -> TestResponse:
        response = self.client.get(path, **options)
        self.page = response.text
        return response

    def post(self, path: str, **fields: str) -> TestResponse:
        """Send the form of the last page that goes to a path, with these fields filled in."""
        form = re.search(rf'<form[^>]* action="{re.escape(path)}"[^>]*>(.*?)</form>', self.page, re.DOTALL)
        assert form, f"no form to {path} in {self.page}"
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form[1]))
        response = self.client.post(path, data=hidden | fields)
        self.page = response.text
        return response

    def begin(self, phone: str = NUMBER) -> TestResponse:
        self.get("/")
        return self.post(self.example.begin_at, phone=phone)

    @property
    def flow(self) -> dict[str, str]:
        with self.client.session_transaction() as session:
            return dict(session["flow"])

    @property
    def cookie(self) -> str | None:
        found = self.client.get_cookie(self.cookie_name)
        return found.value if found else None

    @property
    def cookie_name(self) -> str:
        return str(self.example.app.config["SESSION_COOKIE_NAME"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(web, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(reset_module, "POLL_SECONDS", 0)


def login() -> Example:
    double = Double()
    app = login_app(double.client(), Webhooks([SECRET]), "https://login.example.org")
    return Example("login", app, double, "/login")


def reset() -> Example:
    double = Double(channels=("call", "text_in", "code"))
    return Example("reset", reset_app(double.client(), {NUMBER: "hash"}), double, "/reset")


@pytest.fixture(params=[login, reset], ids=["login", "reset"])
def example(request: pytest.FixtureRequest) -> Example:
    return request.param()


def asked(double: Double) -> list[str]:
    return [method for method, _ in double.requests]


# No other site can act for a visitor


def rules(app: Flask, method: str) -> list[str]:
    return [
        rule.rule
        for rule in app.url_map.iter_rules()
        if method in (rule.methods or ()) and rule.endpoint != "static" and rule.rule != "/waitcall"
    ]


def test_no_form_is_accepted_without_its_token(example: Example) -> None:
    visitor = example.visitor()
    visitor.begin()
    before, cookie = len(example.double.requests), visitor.cookie
    for path in rules(example.app, "POST"):
        fields = {"phone": OTHER, "code": "123456", "result": "0" * 32, "password": "long enough, isn't it"}
        for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
            answer = visitor.client.post(path, data=fields, headers=headers)
            assert answer.status_code == 400, path
            assert visitor.client.post(path, data=fields | {"csrf_token": "guessed"}).status_code == 400
    assert (len(example.double.requests), visitor.cookie) == (before, cookie)


def test_a_token_of_another_session_is_refused(example: Example) -> None:
    attacker, victim = example.visitor(), example.visitor()
    attacker.get("/")
    token = re.search(r'name="csrf_token" value="([^"]+)"', attacker.page)[1]
    victim.get("/")
    fields = {"phone": NUMBER, "csrf_token": token}
    assert victim.client.post(example.begin_at, data=fields).status_code == 400
    assert example.double.requests == []


def test_no_get_request_sends_or_changes_anything(example: Example) -> None:
    queries = (
        "",
        "?outcome=fallback",
        "?outcome=canceled",
        "?outcome=start_again",
        "?outcome=code",
        "?result=00",
    )
    states: list[Callable[[Visitor], object]] = [
        lambda _: None,
        lambda visitor: visitor.begin(),
        lambda visitor: (visitor.begin(), example.double.call(NUMBER)),
        lambda visitor: (visitor.begin(), example.double.advance(10_000)),
    ]
    for prepare in states:
        visitor = example.visitor()
        prepare(visitor)
        visitor.get("/")
        before, cookie, home = len(example.double.requests), visitor.cookie, visitor.page
        for path in rules(example.app, "GET"):
            for query in queries:
                answer = visitor.get(path + query)
                assert answer.status_code in (200, 303, 409), path
        assert set(asked(example.double)[before:]) <= {"GET"}
        if cookie == visitor.cookie:
            tokenless = re.compile(r'value="[^"]*"')
            assert tokenless.sub("", visitor.get("/").text) == tokenless.sub("", home)
        example.double.advance(10_000)


def test_a_link_from_another_site_sends_no_code_and_cancels_nothing() -> None:
    example = login()
    visitor = example.visitor()
    visitor.begin()
    before = len(example.double.requests)
    for query in ("outcome=fallback", "outcome=canceled", "outcome=start_again", "result=" + "0" * 32):
        visitor.get(f"/phone?{query}", headers={"Sec-Fetch-Site": "cross-site"})
    assert len(example.double.requests) == before
    with pytest.raises(LookupError):
        example.double.code(NUMBER)
    # A click of the person sends the code.
    visitor.get("/phone?outcome=fallback")
    assert visitor.post("/another-way").headers["Location"] == "/code"
    assert example.double.code(NUMBER)


def test_a_result_of_another_browser_logs_nobody_in_and_ends_nothing() -> None:
    example = login()
    visitor = example.visitor()
    visitor.begin()
    example.double.call(NUMBER)
    visitor.get("/phone?result=" + "0" * 32)
    assert visitor.post("/phone").status_code == 409
    assert "You are logged in" not in visitor.get("/").text
    assert "DELETE" not in asked(example.double)


def test_a_webhook_needs_a_signature_and_no_token() -> None:
    example = login()
    client = example.app.test_client()
    assert client.post("/waitcall", data=b"{}").status_code == 400
    visitor = example.visitor()
    visitor.begin()
    data = {
        "id": visitor.flow["id"],
        "status": "verified",
        "reason": None,
        "purpose": "login",
        "reference": None,
    }
    body = json.dumps({"type": "verification.verified", "timestamp": "2026-01-01T00:00:00Z", "data": data})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", now, body),
    }
    assert client.post("/waitcall", data=body, headers=headers).status_code == 204
    assert "Your call has come." in visitor.get("/").text


# Headers and cookies


def test_every_answer_has_a_strict_policy(example: Example) -> None:
    client = example.app.test_client()
    for path in ("/", "/static/style.css", "/nowhere"):
        with client.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
        sources = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
        assert sources["default-src"] == "'none'"
        assert sources["form-action"] == "'self'"
        assert sources["base-uri"] == "'none'"
        assert sources["frame-ancestors"] == "'none'"
        assert "unsafe" not in policy


def test_forms_may_lead_on_to_the_hosted_page() -> None:
    app = login_app(Double().client(), Webhooks([SECRET]), "https://login.example.org", PAGES)
    policy = app.test_client().get("/").headers["Content-Security-Policy"]
    assert f"form-action 'self' {PAGES};" in policy


@pytest.mark.parametrize(
    ("app", "scheme", "secure"),
    [
        (lambda: login().app, "http", True),  # a proxy ends TLS, and the app knows its public address
        (lambda: login_app(Double().client(), Webhooks([SECRET]), "http://127.0.0.1:1"), "http", False),
        (lambda: reset().app, "http", False),
        (lambda: reset().app, "https", True),
        (lambda: reset_app(Double().client(), {}, "https://reset.example.org"), "http", True),
    ],
)
def test_cookies_are_kept_from_scripts_other_sites_and_clear_text(
    app: Callable[[], Flask], scheme: str, *, secure: bool
) -> None:
    answer = app().test_client().get("/", base_url=f"{scheme}://localhost")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert ("Secure" in cookie) is secure


def test_a_planted_session_is_useless_after_the_login() -> None:
    example = login()
    planted = example.visitor()
    planted.get("/")
    victim = example.visitor()
    victim.client.set_cookie(victim.cookie_name, planted.cookie or "")
    victim.begin()
    example.double.call(NUMBER)
    result = example.double.result(victim.flow["id"])
    victim.get(f"/phone?result={result}")
    victim.post("/phone")
    assert NUMBER in victim.get("/").text
    assert NUMBER not in planted.get("/").text
    named = victim.cookie
    victim.post("/logout")
    assert victim.cookie != named


def test_a_tab_with_an_old_session_does_not_end_the_new_one() -> None:
    example = login()
    first, second = example.visitor(), example.visitor()
    first.begin()
    second.client.set_cookie(second.cookie_name, first.cookie or "")
    example.double.call(NUMBER)
    path = f"/phone?result={example.double.result(first.flow['id'])}"
    second.get(path)
    token = re.search(r'name="csrf_token" value="([^"]+)"', second.page)[1]
    first.get(path)
    first.post("/phone")
    for late in (
        second.client.post("/phone", data={"csrf_token": token, "result": "0" * 32}),
        second.client.get("/"),
    ):
        assert late.headers.getlist("Set-Cookie") == []
    assert NUMBER in first.get("/").text


def test_a_second_tab_with_an_old_session_is_led_to_the_first_page() -> None:
    """Its script sends the result after the first tab has renewed the session."""
    visitor = login().visitor()
    answer = visitor.client.post("/phone", data={"csrf_token": "old", "result": "0" * 32})
    assert answer.status_code == 400
    assert '<meta http-equiv="refresh" content="0;url=/">' in answer.text
    # What the person typed is lost, so there is something to read.
    answer = visitor.client.post("/login", data={"csrf_token": "old", "phone": NUMBER})
    assert "This page was out of date. Nothing was done." in answer.text
    assert "http-equiv" not in answer.text


def test_a_visitor_who_lost_the_answer_to_starting_again_is_not_locked_out(example: Example) -> None:
    visitor = example.visitor()
    visitor.begin()
    visitor.get("/" if example.name == "login" else "/confirm")
    old = visitor.cookie or ""
    visitor.post("/again")
    visitor.client.set_cookie(visitor.cookie_name, old)
    assert visitor.begin().status_code == 303


# Every number gets the same answer


def refusals(double: Double) -> list[Callable[[], None]]:
    def live() -> None:
        double.client().start(OTHER, purpose="login")

    return [
        live,
        lambda: double.fail_next("blocked", 403),
        lambda: double.fail_next("rate_limited", 429, retry_after=60),
        lambda: double.fail_next("phone_number_not_allowed", 422),
        lambda: double.fail_next("captcha_required", 403),
    ]


def seen(answer: TestResponse) -> tuple[int, int, list[tuple[str, int]]]:
    """Return everything that a stranger can measure: status, size and the length of every header."""
    return answer.status_code, len(answer.data), [(name, len(value)) for name, value in answer.headers]


def test_every_number_gets_the_first_answer_of_a_fresh_one(example: Example) -> None:
    fresh = seen(example.visitor().begin())
    assert fresh[0] == 303
    for refuse in refusals(example.double):
        refuse()
        assert seen(example.visitor().begin(OTHER)) == fresh


def test_a_refused_number_gets_a_number_to_call_like_any_other() -> None:
    example = reset()
    fresh = example.visitor()
    fresh.begin()
    shown = seen(fresh.get("/confirm"))
    polled = fresh.get("/state?step=call").json
    for refuse in refusals(example.double):
        refuse()
        refused = example.visitor()
        refused.begin(OTHER)
        assert seen(refused.get("/confirm")) == shown
        assert refused.get("/state?step=call").json == polled == {"step": "call"}


def test_a_refused_number_is_asked_for_a_text_like_any_other() -> None:
    example = reset()
    fresh = example.visitor()
    fresh.begin()
    fresh.get("/confirm")
    moved = seen(fresh.post("/another-way"))
    shown = seen(fresh.get("/confirm"))
    polled = fresh.get("/state?step=text_in").json
    for refuse in refusals(example.double):
        refuse()
        refused = example.visitor()
        refused.begin(OTHER)
        refused.get("/confirm")
        assert seen(refused.post("/another-way")) == moved
        assert seen(refused.get("/confirm")) == shown
        asked_for = re.search(r'class="number">(\w+)<', refused.page)[1]
        assert asked_for in refused.get("/confirm").text
        assert refused.get("/state?step=text_in").json == polled == {"step": "text_in"}
        # Nobody can type a code before the text has arrived, and a page of an earlier step is answered at once.
        assert refused.get("/state?step=call").json == {"step": "text_in"}


def test_leaving_looks_the_same_for_a_refused_number() -> None:
    example = reset()
    answers = []
    for prepare in (lambda: None, lambda: example.double.fail_next("blocked", 403)):
        prepare()
        visitor = example.visitor()
        visitor.begin()
        answers += [[seen(visitor.get("/")), seen(visitor.post("/again")), seen(visitor.get("/"))]]
    assert answers[0] == answers[1]


def test_waitcalls_reason_for_a_refusal_is_never_shown() -> None:
    example = login()
    pages = set()
    for refuse in refusals(example.double):
        refuse()
        visitor = example.visitor()
        assert visitor.begin(OTHER).headers["Location"] == "/go"
        assert visitor.get("/go").headers["Location"] == "/"
        pages.add(re.sub(r'value="[^"]*"', "", visitor.get("/").text))
    assert len(pages) == 1
    assert "That did not work." in pages.pop()


def test_an_outage_is_shown() -> None:
    example = reset()
    example.double.fail_next("provider_error", 502)
    answer = example.visitor().begin()
    assert (answer.status_code, "That did not work." in answer.text) == (409, True)


def test_the_first_answer_takes_as_long_for_every_number(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(web, "ANSWER_SECONDS", 5.0)
    monkeypatch.setattr(web, "sleep", waits.append)
    ticks = count(0.0, 2.0)
    monkeypatch.setattr(web, "monotonic", lambda: next(ticks))
    example.visitor().begin()
    example.double.fail_next("blocked", 403)
    example.visitor().begin(OTHER)
    assert waits == [3.0, 3.0]


def test_later_steps_take_as_long_for_a_refused_number(monkeypatch: pytest.MonkeyPatch) -> None:
    example = reset()
    visitors = [example.visitor(), example.visitor()]
    visitors[0].begin()
    example.double.fail_next("blocked", 403)
    visitors[1].begin(OTHER)
    waits: list[float] = []
    monkeypatch.setattr(web, "STEP_SECONDS", 5.0)
    monkeypatch.setattr(web, "sleep", waits.append)
    ticks = count(0.0, 2.0)
    monkeypatch.setattr(web, "monotonic", lambda: next(ticks))
    for visitor in visitors:
        visitor.get("/confirm")
        visitor.post("/another-way")
        visitor.get("/confirm")
        visitor.post("/again")
    assert len(waits) == 8
    # Saving a session reads the clock too, so the ticks differ between steps but not between visitors.
    assert waits[:4] == waits[4:]


# Every page has a way on


def test_starting_again_frees_the_number(example: Example) -> None:
    visitor = example.visitor()
    visitor.begin()
    visitor.get("/" if example.name == "login" else "/confirm")
    assert visitor.post("/again").headers["Location"] == "/"
    # Another requester can use the number at once, and so can the same person with the Back button.
    assert example.double.client().start(NUMBER, purpose="login", reference="x").created


def test_a_new_attempt_ends_the_one_before(example: Example) -> None:
    """The visitor goes back to the form of an earlier page and sends it again."""
    visitor = example.visitor()
    visitor.begin()
    visitor.get("/" if example.name == "login" else "/confirm")
    token = re.search(r'name="csrf_token" value="([^"]+)"', visitor.page)[1]
    visitor.client.post(example.begin_at, data={"phone": NUMBER, "csrf_token": token})
    assert [each for each in asked(example.double) if each != "GET"] == ["POST", "DELETE", "POST"]


def test_a_visitor_without_an_account_can_start_again() -> None:
    visitor = reset().visitor()
    with visitor.client.session_transaction() as session:
        session["proven"] = OTHER
    assert "There is no account" in visitor.get("/password").text
    assert visitor.post("/again").headers["Location"] == "/"


@pytest.mark.parametrize("path", ["/nowhere", "/static/nowhere"])
def test_an_unknown_address_has_a_way_on(example: Example, path: str) -> None:
    answer = example.visitor().get(path)
    assert answer.status_code == 404
    assert 'href="/"' in answer.text


def test_the_address_of_a_form_leads_to_the_first_page(example: Example) -> None:
    """A person reloads the answer to a form, and the browser asks for its address by GET."""
    visitor = example.visitor()
    for path in set(rules(example.app, "POST")) - set(rules(example.app, "GET")):
        assert visitor.get(path).headers["Location"] == "/"
    assert visitor.client.put("/").status_code == 405


def test_both_examples_keep_their_sessions_in_one_browser() -> None:
    """Browsers send the cookies of a host to all of its ports."""
    names = [each().visitor().cookie_name for each in (login, reset)]
    assert len({*names}) == 2
