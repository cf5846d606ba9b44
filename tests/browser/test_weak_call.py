"""Test what the hosted page says after a call that proves too little, with real calls by the simulator's handset."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waitcall_client import Waitcall

from development.ports import Ports
from development.stack import API_KEY, Stack
from tests.browser.conftest import Visitor

Visiting = Callable[..., Visitor]
ORIGIN = "https://login.example.org"
POLICY = f"""
dial_regions = ["US"]
[routing]
default = ["own"]
[own_numbers]
twilio = ["+12025550142", "+12025550143"]
[purposes.with_code]
min_assurance = "network"
channels = ["call", "code"]
[purposes.call_alone]
min_assurance = "network"
[clients.web]
purposes = ["with_code", "call_alone"]
[clients.web.hosted]
return_origins = ["{ORIGIN}"]
[clients.operator]
purposes = []
scopes = ["operate"]
"""
CAME = {"en": "We received your call, but", "ru": "Мы получили ваш звонок, но", "ar": "تلقينا اتصالك، لكن"}
OTHER_WAY = {"en": "Another way", "ru": "Другой способ", "ar": "طريقة أخرى"}
AGAIN = {
    "en": "Call again directly from the phone",
    "ru": "Позвоните ещё раз прямо с телефона",
    "ar": "اتصل مرة أخرى",
}


@pytest.fixture(scope="module")
def stack(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    policy: Path = tmp_path_factory.mktemp("weak") / "policy.toml"
    policy.write_text(POLICY)
    with Stack(Ports.free(), {"WAITCALL_POLICY": str(policy)}) as running:
        yield running


def begin(visitor: Visitor, purpose: str, lang: str) -> tuple[str, str]:
    """Start a verification and open its page. Return the page's address and the number to dial."""
    visitor.number = f"+1212556{visitor.number[-4:]}"
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = client.start(
            visitor.number, purpose=purpose, reference="flow", locale=lang, return_url=f"{ORIGIN}/phone"
        )
    with visitor.page.expect_response(lambda answer: "/status" not in answer.url):
        visitor.page.goto(made.hosted_url)
    visitor.page.get_by_role("status").wait_for()
    assert made.call is not None
    return str(made.hosted_url), made.call.number


def call(visitor: Visitor, dialled: str, level: str) -> None:
    """Call on the handset, in a window of its own, with the signature of a level."""
    handset = visitor.watch(visitor.context.new_page())
    handset.goto(f"{visitor.stack.control}/")
    handset.locator("#cli").fill(visitor.number)
    handset.locator("#did").fill(dialled)
    handset.get_by_text("Call settings").click()
    handset.locator("#attestation").select_option(level)
    handset.get_by_role("button", name="Call", exact=True).click()
    handset.locator("#sent").filter(has_text="→ 200").wait_for()
    handset.close()


@pytest.mark.parametrize("size", ["phone", "desktop", "narrow"])
def test_an_open_page_says_that_the_call_was_not_enough_and_offers_the_next_channel(
    visiting: Visiting, size: str, request: pytest.FixtureRequest
) -> None:
    visitor = visiting(size)
    page = visitor.page
    address, dialled = begin(visitor, "with_code", "en")
    assert page.locator(".hint").count() == 0

    call(visitor, dialled, "B")

    page.locator(".hint").wait_for()
    for lang, came in CAME.items():
        page.goto(f"{address}?lang={lang}")
        hint = page.locator(".hint")
        assert came in hint.get_by_role("alert").inner_text()
        links = page.get_by_role("link", name=OTHER_WAY[lang], exact=True)
        assert [each.get_attribute("href") for each in links.all()] == [f"{ORIGIN}/phone?outcome=fallback"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), lang
        visitor.check_accessible()
        if (size, lang) == ("phone", "en"):
            visitor.shoot("hosted-weak-call", request)


@pytest.mark.parametrize("lang", CAME)
def test_without_a_next_channel_the_page_says_how_to_call_again_and_a_signed_call_leads_on(
    visiting: Visiting, lang: str
) -> None:
    visitor = visiting("phone", lang)
    page = visitor.page
    _, dialled = begin(visitor, "call_alone", lang)
    call(visitor, dialled, "")
    page.locator(".hint").wait_for()
    told = page.locator(".hint").get_by_role("alert").inner_text()
    assert CAME[lang] in told
    assert AGAIN[lang] in told
    assert page.get_by_role("link", name=OTHER_WAY[lang], exact=True).count() == 0
    visitor.check_accessible()

    call(visitor, dialled, "A")

    page.locator("main[data-status=verified]").wait_for()


def test_without_a_script_the_page_says_it_too(visiting: Visiting) -> None:
    visitor = visiting("phone", java_script_enabled=False)
    address, dialled = begin(visitor, "with_code", "en")
    visitor.tell("dial", cli=visitor.number, did=dialled, attestation="C")
    visitor.page.goto(address)
    assert CAME["en"] in visitor.page.get_by_role("alert").filter(has_text=CAME["en"]).inner_text()
