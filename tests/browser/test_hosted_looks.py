"""Test how the hosted page looks: every language, phone and laptop, light and dark, any colour of the brand."""

import re
from collections.abc import Callable

import pytest
from waitcall_client import Waitcall

from development.stack import API_KEY
from tests.browser.conftest import Visitor

Visiting = Callable[..., Visitor]
LANGUAGES = ("ar", "de", "en", "es", "kk", "ru", "uk", "uz")
SHOWN = ("en", "ru", "ar")


def open_page(visitor: Visitor, reference: str) -> str:
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = client.start(
            visitor.number,
            purpose="login",
            reference=reference,
            return_url=f"{visitor.stack.login}/phone",
        )
    visitor.page.goto(made.hosted_url)
    return str(made.hosted_url)


@pytest.mark.parametrize("size", ["phone", "desktop", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_language_is_accessible_and_fits(
    visiting: Visiting, size: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    visitor = visiting(size, color_scheme=scheme)
    page = visitor.page
    address = open_page(visitor, f"looks-{size}-{scheme}")
    for lang in LANGUAGES:
        page.goto(f"{address}?lang={lang}")
        assert page.locator("html").get_attribute("lang") == lang
        assert page.evaluate("getComputedStyle(document.documentElement).direction") == (
            "rtl" if lang == "ar" else "ltr"
        )
        page.locator(".qr").wait_for(state="visible" if size == "desktop" else "hidden")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), lang
        # The number stands on one line.
        assert page.evaluate("document.getElementById('shown').getClientRects().length") == 1, lang
        if size != "narrow":
            # Number, status and time left need no scrolling.
            assert page.locator(".state").bounding_box()["y"] < page.viewport_size["height"] / 2, lang
        visitor.check_accessible()
        if lang in SHOWN and size != "narrow":
            visitor.shoot(f"hosted-{size}-{lang}-{scheme}", request)


def test_a_check_mark_is_shown_before_the_page_leads_on(visiting: Visiting) -> None:
    visitor = visiting()
    page = visitor.page
    with page.expect_request(re.compile("/status")):
        open_page(visitor, "success")
    # The page leads on after a second. A slow network keeps it until it is looked at.
    visitor.slow_down(5000)
    visitor.call()
    page.get_by_role("heading", name="Number confirmed").wait_for()
    assert page.get_by_role("status").inner_text() == "Taking you back…"
    assert page.locator(".icon.done").is_visible()
    assert page.locator("#shown, .qr, .ways").filter(visible=True).count() == 0
    visitor.check_accessible()
    visitor.slow_down(0)
    page.wait_for_url(f"{visitor.stack.login}/")


def test_an_open_page_leads_on_when_its_code_was_typed_elsewhere(visiting: Visiting) -> None:
    visitor = visiting()
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = client.start(
            visitor.number,
            purpose="login",
            reference="code",
            channel="code",
            return_url=f"{visitor.stack.login}/phone",
        )
        with visitor.page.expect_request(re.compile("/status")):
            visitor.page.goto(made.hosted_url)
        visitor.page.get_by_role("heading", name="A code is on its way").wait_for()
        visitor.check_accessible()
        client.check(made.id, visitor.code())
    visitor.page.wait_for_url(f"{visitor.stack.login}/")


def test_a_page_of_a_text_moves_on_to_the_second_step(visiting: Visiting) -> None:
    visitor = visiting("phone", "ru")
    page = visitor.page
    with Waitcall(visitor.stack.api, API_KEY) as client:
        made = client.start(
            visitor.number,
            purpose="password_reset",
            reference="text",
            channel="text_in",
            locale="ru",
            return_url=f"{visitor.stack.login}/phone",
        )
    page.goto(made.hosted_url)
    visitor.check_accessible()
    text = page.locator("#shown").inner_text()
    visitor.tell("text", cli=visitor.number, to="+79585550000", text=text)
    # The second step of the purpose: its code is typed at the client's site.
    page.get_by_role("link", name="Ввести код").wait_for()


def test_the_number_can_be_copied(visiting: Visiting) -> None:
    visitor = visiting(permissions=["clipboard-read", "clipboard-write"])
    open_page(visitor, "copy")
    page = visitor.page
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    number = page.locator("#shown").get_attribute("href").removeprefix("tel:")
    assert page.evaluate("navigator.clipboard.readText()") == number
    # One click selects the whole number, also without a script.
    assert page.evaluate("getComputedStyle(document.getElementById('shown')).userSelect") == "all"


def test_without_a_script_there_is_no_copy_button(visiting: Visiting) -> None:
    visitor = visiting("phone", java_script_enabled=False)
    open_page(visitor, "no-script")
    assert visitor.page.get_by_role("button").count() == 0
    assert visitor.page.get_by_role("status").inner_text() == "Waiting for your call"
    visitor.page.get_by_role("navigation", name="Language").wait_for()


def test_the_way_to_call_that_the_device_has_comes_first(visiting: Visiting) -> None:
    """A phone dials, so it shows a filled button and no QR code. A laptop shows the QR code next to the number."""
    fill = "getComputedStyle(document.querySelector('.dial')).backgroundColor"
    phone, laptop = visiting("phone"), visiting("desktop")
    open_page(phone, "phone")
    phone.page.locator(".qr").wait_for(state="hidden")
    assert phone.page.evaluate(fill) == "rgb(29, 78, 216)"
    open_page(laptop, "laptop")
    laptop.page.locator(".qr").wait_for(state="visible")
    assert laptop.page.evaluate(fill) == "rgba(0, 0, 0, 0)"
    qr, number, state = (laptop.page.locator(each).bounding_box() for each in (".qr", "#shown", ".state"))
    assert qr["x"] + qr["width"] < number["x"]
    assert 0 < state["y"] - (number["y"] + number["height"]) < 30
    # The ways out are seen without scrolling.
    cancel = laptop.page.get_by_role("link", name="Cancel").bounding_box()
    assert cancel["y"] + cancel["height"] <= 720
