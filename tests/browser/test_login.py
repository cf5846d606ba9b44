"""Test the login example and the hosted page as their users see them."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from waitcall_client import Waitcall
from waitcall_client.problems import ValidationFailed

from development.stack import API_KEY
from tests.browser.conftest import Visitor
from tests.redis_servers import wait_for

Visiting = Callable[..., Visitor]
MOST_BYTES, MOST_REQUESTS = 30_000, 6
CONFIRMED = {"en": "Number confirmed", "ru": "Номер подтверждён"}
CALL = {"en": "Call this number", "ru": "Позвоните по этому номеру"}


def waiting(visitor: Visitor) -> None:
    visitor.page.get_by_role("heading", name=CALL[visitor.lang]).wait_for()


@pytest.mark.parametrize("lang", ["en", "ru"])
@pytest.mark.parametrize("size", ["phone", "desktop", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_whole_login(visiting: Visiting, size: str, lang: str, scheme: str) -> None:
    visitor = visiting(size, lang, color_scheme=scheme)
    page = visitor.page
    visitor.begin()
    waiting(visitor)
    assert page.locator("html").get_attribute("lang") == lang
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # Chromium may take a moment to tell the new page which pointer it emulates.
    page.locator(".qr").wait_for(state="visible" if size == "desktop" else "hidden")
    page.get_by_role("timer").filter(has_text=re.compile(r"^1[45]:\d\d$")).wait_for()
    visitor.check_accessible()

    visitor.call()

    page.get_by_role("heading", name=CONFIRMED[lang]).wait_for()
    visitor.logged_in()
    visitor.check_accessible()
    assert page.url.startswith(visitor.stack.login)
    assert page.get_by_role("heading").inner_text() == {"en": "Logged in", "ru": "Вход выполнен"}[lang]
    assert (
        page.locator("footer p, footer nav a").all_inner_texts()
        == {
            "en": ["Reset a password", "Handset"],
            "ru": ["Новый пароль", "Имитатор телефона"],
        }[lang]
    )


def type_code(visitor: Visitor, code: str) -> None:
    visitor.page.locator("#code").fill(code)
    visitor.page.locator("form", has=visitor.page.locator("#code")).get_by_role("button").click()


def test_the_call_link_dials(visiting: Visiting) -> None:
    visitor = visiting("phone")
    visitor.begin()
    waiting(visitor)
    link = visitor.page.get_by_role("link", name="Call +7")
    number = visitor.ask(f"orders?phone={visitor.number.removeprefix('+')}")["numbers"][-1]
    assert link.get_attribute("href") == f"tel:+{number}"


@pytest.mark.everyday
def test_the_login_works_by_keyboard_alone(visiting: Visiting) -> None:
    visitor = visiting()
    page = visitor.page
    page.goto(visitor.stack.login)
    page.keyboard.press("Tab")
    page.keyboard.type(visitor.number)
    page.keyboard.press("Enter")
    waiting(visitor)
    reached: list[tuple[str, bool]] = []
    for _ in range(page.locator("a:visible, summary:visible, button:visible").count()):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.getAttribute('href') || e.tagName, s.outlineStyle !== 'none' && s.outlineWidth !== '0px'] })()"
        )
        reached.append((name, outlined))
    names = [name for name, _ in reached]
    assert sum(name.startswith("tel:") for name in names) == 2
    assert {"SUMMARY", "BUTTON", "?lang=ru"} <= set(names)
    assert any("outcome=canceled" in name for name in names)
    assert all(outlined for _, outlined in reached)
    visitor.call()
    visitor.logged_in()


@pytest.mark.everyday
def test_a_poll_names_the_channel_that_the_page_shows(visiting: Visiting) -> None:
    """The service then answers at once if the verification has moved to another channel."""
    visitor = visiting()
    with visitor.page.expect_request(re.compile(r"/status\?wait=25&channel=call&")):
        visitor.begin()


def test_a_screen_reader_gets_status_heading_and_qr_code(visiting: Visiting) -> None:
    visitor = visiting("desktop")
    visitor.begin()
    waiting(visitor)
    page = visitor.page
    assert page.get_by_role("status").inner_text() == "Waiting for your call"
    assert page.get_by_role("img", name=re.compile("QR code: scan it")).count() == 1
    assert page.locator("h1").count() == 1
    assert page.get_by_role("alert").inner_text() == ""


def test_the_page_works_without_javascript(visiting: Visiting) -> None:
    visitor = visiting(java_script_enabled=False)
    visitor.begin()
    waiting(visitor)
    assert "about 15 min" in visitor.page.get_by_role("timer").inner_text()
    visitor.call()
    visitor.page.get_by_role("button", name="Continue").click()
    visitor.logged_in()


def test_an_open_page_shows_that_the_time_is_over(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.begin()
    waiting(visitor)
    expire(visitor)

    # The open long poll ends within 25 s, so the page changes without a reload.
    visitor.page.get_by_text("The time is over").wait_for()
    visitor.check_accessible()
    visitor.page.get_by_role("link", name="Start again").click()
    visitor.page.get_by_role("button", name="Start again").click()
    visitor.page.locator("#phone").wait_for()


def test_a_visitor_who_is_too_late_can_still_get_a_code(visiting: Visiting) -> None:
    visitor = visiting("phone")
    visitor.begin()
    waiting(visitor)
    expire(visitor)
    visitor.page.reload()
    visitor.page.get_by_text("The time is over").wait_for()
    visitor.page.get_by_role("link", name="Another way").click()
    visitor.page.get_by_role("button", name="Send me a code instead").click()
    visitor.page.get_by_role("heading", name="Type the code").wait_for()
    type_code(visitor, visitor.code())
    visitor.logged_in()


def expire(visitor: Visitor) -> None:
    """Change the visitor's record so that its time window ended a while ago."""
    with Redis(unix_socket_path=str(visitor.stack.directory / "valkey.sock")) as client:
        for key in client.scan_iter("waitcall:*:v:*"):
            document = json.loads(client.get(key))
            if document["phone_number"] == visitor.number:
                document["expires_at"] -= 1000
                client.set(key, json.dumps(document, separators=(",", ":")), keepttl=True)


def test_two_tabs_end_in_one_login(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.begin()
    waiting(visitor)
    second = visitor.watch(visitor.context.new_page())
    second.goto(visitor.page.url)
    second.get_by_role("heading", name=CALL["en"]).wait_for()
    visitor.call()
    # The tab that comes second finds the proof already consumed.
    for page in (visitor.page, second):
        page.get_by_text(visitor.number).or_(page.get_by_text("Your number is confirmed.")).wait_for()
        if page.get_by_role("link", name="Continue").count():
            page.get_by_role("link", name="Continue").click()
        visitor.logged_in(page)


def test_back_and_forward_show_no_stale_page(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.begin()
    waiting(visitor)
    hosted = visitor.page.url
    visitor.call()
    visitor.logged_in()
    visitor.page.go_back()
    visitor.logged_in()
    visitor.page.go_forward()
    visitor.logged_in()
    visitor.page.goto(hosted)
    visitor.page.get_by_text("Your number is confirmed.").wait_for()
    visitor.check_accessible()
    visitor.page.get_by_role("link", name="Continue").click()
    visitor.logged_in()


def test_a_lost_connection_is_shown_and_the_login_goes_on_after_it(visiting: Visiting) -> None:
    visitor = visiting("phone")
    with visitor.page.expect_request(re.compile("/status")):
        visitor.begin()
    waiting(visitor)
    visitor.context.set_offline(True)
    # The browser tells the page at once. An open poll would notice only when it ends.
    visitor.page.get_by_role("alert").filter(has_text="No connection").wait_for(timeout=2000)
    visitor.call()
    visitor.context.set_offline(False)
    visitor.logged_in()


@pytest.mark.parametrize("away", ["told", "not told"])
def test_the_page_says_soon_that_the_connection_is_back(visiting: Visiting, away: str) -> None:
    """A browser that is not told of a lost connection notices it by a poll that fails."""
    visitor = visiting("phone")
    with visitor.page.expect_request(re.compile("/status")):
        visitor.begin()
    waiting(visitor)
    alert = visitor.page.get_by_role("alert").filter(has_text="No connection")
    if away == "told":
        visitor.context.set_offline(True)
        alert.wait_for(timeout=2000)
        visitor.context.set_offline(False)
    else:
        visitor.page.route("**/status?*", lambda route: route.abort())
        visitor.page.reload()
        alert.wait_for(timeout=5000)
        visitor.page.unroute("**/status?*")
    # A poll that is held would answer only after 25 s.
    alert.wait_for(state="detached", timeout=10_000)
    visitor.call()
    visitor.logged_in()


def test_the_link_to_another_way_leads_to_a_code(visiting: Visiting, request: pytest.FixtureRequest) -> None:
    visitor = visiting("phone")
    visitor.begin()
    waiting(visitor)
    page = visitor.page
    page.get_by_role("link", name="Another way").click()
    # No code is sent before the person has confirmed in the app where the login began.
    page.get_by_role("button", name="Send me a code instead").wait_for()
    visitor.check_accessible()
    assert visitor.ask(f"messages?phone={visitor.number.removeprefix('+')}")["messages"] == []
    page.get_by_role("button", name="Send me a code instead").click()
    page.get_by_role("heading", name="Type the code").wait_for()
    visitor.check_accessible()
    code = visitor.code()
    type_code(visitor, f"{(int(code) + 1) % 10**6:06}")
    page.get_by_text("The code is wrong.").wait_for()
    assert page.locator("#code").input_value() == f"{(int(code) + 1) % 10**6:06}"
    type_code(visitor, code)
    visitor.logged_in()


def test_a_mistyped_number_can_be_corrected(visiting: Visiting) -> None:
    visitor = visiting()
    for address in (visitor.stack.login, visitor.stack.reset):
        visitor.page.goto(address)
        visitor.page.locator("#phone").fill("+7999777")
        visitor.page.locator("form button").click()
        visitor.page.get_by_role("alert").wait_for()
        assert visitor.page.locator("#phone").input_value() == "+7999777"


def test_a_visitor_who_cancels_returns_to_the_first_page(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.begin()
    waiting(visitor)
    visitor.page.get_by_role("link", name="Cancel").click()
    visitor.page.get_by_role("button", name="Start again").click()
    visitor.page.locator("#phone").wait_for()
    assert "Log in" in visitor.page.title()
    # The number is free again at once.
    visitor.begin()
    waiting(visitor)


def test_a_visitor_who_left_the_page_sees_the_call_that_the_webhook_reported(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.begin()
    waiting(visitor)
    visitor.page.goto(visitor.stack.login)
    visitor.page.get_by_text("We are waiting for your call.").wait_for()
    visitor.call()

    def told() -> bool:
        visitor.page.reload()
        return visitor.page.get_by_role("status").inner_text() == "Your call has come."

    wait_for(told)
    visitor.page.get_by_role("link", name="Go on").click()
    visitor.logged_in()


def test_the_language_can_be_switched(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.begin()
    waiting(visitor)
    visitor.page.get_by_role("link", name="Русский").click()
    visitor.page.get_by_role("heading", name=CALL["ru"]).wait_for()
    visitor.call()
    visitor.logged_in()


def test_the_page_is_small_and_requests_nothing_from_other_hosts(visiting: Visiting) -> None:
    visitor = visiting("phone")
    visitor.begin()
    waiting(visitor)
    hosted = visitor.page.url
    fresh = visiting("phone")
    sizes: list[int] = []
    hosts: set[str] = set()

    def came(response: Any) -> None:
        hosts.add(response.url.split("/")[2])
        if response.request.resource_type != "fetch":
            sizes.append(
                response.request.sizes()["responseBodySize"] + response.request.sizes()["responseHeadersSize"]
            )

    fresh.page.on("requestfinished", lambda request: came(request.response()))
    fresh.page.goto(hosted, wait_until="load")
    fresh.page.get_by_role("timer").wait_for()
    print(f"hosted page over the wire: {sum(sizes)} bytes with headers, {len(sizes)} requests")  # noqa: T201  a figure
    assert hosts == {hosted.split("/")[2]}
    assert 0 < sum(sizes) < MOST_BYTES
    assert len(sizes) <= MOST_REQUESTS


# An attacker's browser


def test_no_frame_may_contain_the_page(visiting: Visiting) -> None:
    visitor = visiting()
    visitor.begin()
    waiting(visitor)
    hosted = visitor.page.url
    trap = visitor.context.new_page()
    frame = f'<iframe src="{hosted}" width="400" height="400"></iframe>'
    trap.route("http://evil.example/", lambda route: route.fulfill(body=frame, content_type="text/html"))
    trap.goto("http://evil.example/")
    trap.wait_for_function("document.querySelector('iframe') !== null")
    inner = trap.frames[1]
    inner.wait_for_load_state()
    assert inner.url.startswith("chrome-error://")


def test_no_other_site_can_submit_the_form(visiting: Visiting) -> None:
    visitor = visiting()
    form = f'<form method="post" action="{visitor.stack.login}/login"><input name="phone" value="{visitor.number}"><button>x</button></form>'
    visitor.page.route(
        "http://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html")
    )
    visitor.page.goto("http://evil.example/")
    with visitor.page.expect_response(f"{visitor.stack.login}/login") as answered:
        visitor.page.get_by_role("button").click()
    assert answered.value.status == 400
    assert visitor.ask(f"orders?phone={visitor.number.removeprefix('+')}")["numbers"] == []


def test_markup_in_parameters_stays_text(visiting: Visiting) -> None:
    visitor = visiting()
    page = visitor.page
    evil = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
    page.goto(f"{visitor.stack.login}/?phone={evil}")
    assert page.locator("#phone").input_value() == '"><script>alert(1)</script>'
    visitor.begin()
    waiting(visitor)
    hosted = page.url
    for tail in (
        f"?lang={evil}",
        f"?result={evil}",
        "?return_url=https://evil.example/",
        "?outcome=javascript:alert(1)",
    ):
        page.goto(hosted + tail)
        waiting(visitor)
        hrefs = page.eval_on_selector_all("a", "links => links.map(link => link.href)")
        own = (visitor.stack.login, visitor.stack.callback, "tel:")
        assert [each for each in hrefs if not each.startswith(own)] == []
    page.goto(f"{visitor.stack.login}/phone?result={evil}")
    page.get_by_text("That did not work.").wait_for()


def test_markup_from_a_client_stays_inert(visiting: Visiting) -> None:
    """The metadata, reference, locale and return_url come from a client that was itself deceived."""
    visitor = visiting()
    evil = '"><img src=x onerror=alert(1)><script>alert(1)</script>'
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = client.start(
            visitor.number,
            purpose="login",
            reference=evil,
            metadata={evil[:40]: evil},
            locale="en-x-alert",
            return_url=f"{visitor.stack.login}/phone?a='onload=alert(1)&b=%3Cscript%3E",
        )
        for wrong in ("https://evil.example/", f"{visitor.stack.login}.evil.example/", "javascript:alert(1)"):
            with pytest.raises(ValidationFailed):
                client.start("+79990000000", purpose="login", return_url=wrong)
    visitor.page.goto(made.hosted_url)
    waiting(visitor)
    visitor.call()
    # The example does not know this result, because it did not start the verification, so it starts over.
    visitor.page.wait_for_url(f"{visitor.stack.login}/")


def test_an_attackers_result_logs_no_victim_in(visiting: Visiting) -> None:
    """An attacker verifies a number of their own and sends the return link to a victim."""
    attacker, victim = visiting(), visiting()
    attacker.begin()
    waiting(attacker)
    attacker.page.route(f"{attacker.stack.login}/phone?**", lambda route: route.abort())
    with attacker.page.expect_request(lambda request: "result=" in request.url) as caught:
        attacker.call()
    link = caught.value.url
    victim.page.goto(link)
    victim.page.locator("#phone").wait_for()
    victim.begin()
    victim.page.get_by_role("heading", name=CALL["en"]).wait_for()
    victim.page.goto(link)
    victim.page.get_by_text("That did not work.").wait_for()
